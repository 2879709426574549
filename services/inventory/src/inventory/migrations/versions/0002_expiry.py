"""Reservations expire, are paid for, and may be cancelled before they are made."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ENDLESS = "'rejected', 'held', 'allocated', 'released', 'shipped'"


def upgrade() -> None:
    op.add_column(
        "reservations",
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )
    for name in ("paid", "expiry_told"):
        op.add_column("reservations", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute("UPDATE reservations SET paid = true WHERE state IN ('allocated', 'shipped')")
    op.drop_constraint("state_is_known", "reservations")
    op.create_check_constraint("state_is_known", "reservations", f"state IN ({ENDLESS}, 'cancelled')")
    op.create_check_constraint(
        "what_goes_out_is_paid_for", "reservations", "paid OR state NOT IN ('allocated', 'shipped')"
    )
    op.create_index(
        "reservations_that_may_expire",
        "reservations",
        ["reserved_at"],
        postgresql_where=sa.text("state = 'held' AND NOT expiry_told"),
    )


def downgrade() -> None:
    op.drop_index("reservations_that_may_expire")
    op.execute("DELETE FROM reservations WHERE state = 'cancelled'")
    op.drop_constraint("what_goes_out_is_paid_for", "reservations")
    op.drop_constraint("state_is_known", "reservations")
    op.create_check_constraint("state_is_known", "reservations", f"state IN ({ENDLESS})")
    for name in ("expiry_told", "paid", "reserved_at"):
        op.drop_column("reservations", name)
