"""Payments, and the library's tables."""

import sqlalchemy as sa
from alembic import op

from exactly_once.tables import create_tables, drop_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_tables(op.get_bind())
    op.create_table(
        "payments",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reserved", sa.Boolean, nullable=False),
        sa.Column("amount_minor", sa.BigInteger),
        sa.Column("currency", sa.Text),
        sa.Column("payment_token", sa.Text),
        sa.Column("charge_id", sa.Text),
        sa.Column("invoice_number", sa.Text),
        sa.Column("decline_reason", sa.Text),
        sa.UniqueConstraint("charge_id", name="one_payment_a_charge"),
        sa.UniqueConstraint("invoice_number", name="one_payment_an_invoice"),
        sa.CheckConstraint("state IN ('awaiting', 'charging', 'captured', 'declined')", "state_is_known"),
        sa.CheckConstraint("num_nulls(amount_minor, currency, payment_token) IN (0, 3)", "dues_are_whole"),
        sa.CheckConstraint("state = 'awaiting' OR (reserved AND amount_minor IS NOT NULL)", "charged_only_when_due"),
        sa.CheckConstraint("(state = 'captured') = (charge_id IS NOT NULL)", "a_capture_has_its_charge"),
        sa.CheckConstraint("(state = 'captured') = (invoice_number IS NOT NULL)", "a_capture_has_its_invoice"),
        sa.CheckConstraint("(state = 'declined') = (decline_reason IS NOT NULL)", "a_refusal_has_its_reason"),
        sa.CheckConstraint("amount_minor >= 0", "nothing_is_negative"),
        postgresql_with={"fillfactor": 60},
    )


def downgrade() -> None:
    op.drop_table("payments")
    drop_tables(op.get_bind())
