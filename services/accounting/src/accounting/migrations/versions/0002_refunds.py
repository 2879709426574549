"""Payments that are void, and refunds."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

HAS_CHARGE = {
    "a_capture_has_its_charge": "charge_id",
    "a_capture_has_its_invoice": "invoice_number",
}
BEFORE = "'awaiting', 'charging', 'captured', 'declined'"
REFUND = "'refunding', 'refunded'"


def upgrade() -> None:
    op.add_column("payments", sa.Column("voided", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("payments", sa.Column("refund_id", sa.Text))
    op.create_unique_constraint("one_payment_a_refund", "payments", ["refund_id"])
    _constrain(f"{BEFORE}, {REFUND}", f"'captured', {REFUND}")
    op.create_check_constraint("a_refund_has_its_id", "payments", "(state = 'refunded') = (refund_id IS NOT NULL)")
    op.create_check_constraint("only_what_is_void_goes_back", "payments", f"voided OR state NOT IN ({REFUND})")
    op.create_check_constraint("what_is_void_is_not_kept", "payments", "NOT (voided AND state = 'captured')")


def downgrade() -> None:
    for name in ("what_is_void_is_not_kept", "only_what_is_void_goes_back", "a_refund_has_its_id"):
        op.drop_constraint(name, "payments")
    _constrain(BEFORE, "'captured'")
    op.drop_column("payments", "refund_id")
    op.drop_column("payments", "voided")


def _constrain(states: str, charged: str) -> None:
    op.drop_constraint("state_is_known", "payments")
    op.create_check_constraint("state_is_known", "payments", f"state IN ({states})")
    for name, column in HAS_CHARGE.items():
        op.drop_constraint(name, "payments")
        op.create_check_constraint(name, "payments", f"(state IN ({charged})) = ({column} IS NOT NULL)")
