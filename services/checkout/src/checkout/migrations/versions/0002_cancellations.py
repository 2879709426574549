"""What an order's cancellation came to, and the end that waits for its answer."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("orders", sa.Column("cancellation", sa.Text))
    op.add_column("orders", sa.Column("withheld", sa.Text))
    op.create_check_constraint("cancellation_is_known", "orders", "cancellation IN ('asked', 'granted', 'refused')")
    op.create_check_constraint(
        "an_end_waits_for_an_answer_only", "orders", "withheld IS NULL OR coalesce(cancellation, '') = 'asked'"
    )


def downgrade() -> None:
    op.drop_column("orders", "withheld")
    op.drop_column("orders", "cancellation")
