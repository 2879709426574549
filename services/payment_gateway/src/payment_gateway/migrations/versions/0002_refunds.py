"""Refunds: one a charge, under a key of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("ledger", sa.Column("payment_token", sa.Text))
    op.add_column("ledger", sa.Column("refund_id", sa.Text, unique=True))
    op.create_check_constraint("a_refund_has_its_id", "ledger", "(kind = 'refund') = (refund_id IS NOT NULL)")
    op.create_table(
        "refunds",
        sa.Column("charge_id", sa.Text, primary_key=True),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("body_digest", sa.LargeBinary, nullable=False),
        sa.Column("refund_id", sa.Text, nullable=False, unique=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.UniqueConstraint("client", "key", name="a_key_refunds_one_charge"),
    )


def downgrade() -> None:
    op.drop_table("refunds")
    op.drop_constraint("a_refund_has_its_id", "ledger")
    op.drop_column("ledger", "refund_id")
    op.drop_column("ledger", "payment_token")
