"""Idempotency keys and the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("client", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("body_digest", sa.LargeBinary, nullable=False),
        sa.Column("charge_id", sa.Text, nullable=False, unique=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
    )
    op.create_table(
        "ledger",
        sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("charge_id", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.UniqueConstraint("charge_id", "kind", name="a_charge_is_captured_once"),
        sa.CheckConstraint("kind IN ('capture', 'refund')", "kind_is_known"),
        sa.CheckConstraint("amount_minor >= 0", "nothing_is_negative"),
    )


def downgrade() -> None:
    op.drop_table("ledger")
    op.drop_table("idempotency_keys")
