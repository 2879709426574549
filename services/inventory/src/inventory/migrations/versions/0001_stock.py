"""Products, stock, reservations, receipts, and the library's tables."""

import sqlalchemy as sa
from alembic import op

from exactly_once.tables import create_tables, drop_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_tables(op.get_bind())
    op.create_table(
        "products",
        sa.Column("sku", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
    )
    op.create_table(
        "stock",
        sa.Column("sku", sa.Text, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("received", "free", "held", "shipped")),
        sa.CheckConstraint("free >= 0 AND held >= 0 AND shipped >= 0", "nothing_is_negative"),
        sa.CheckConstraint("received = free + held + shipped", "every_unit_is_somewhere"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.CheckConstraint("state IN ('rejected', 'held', 'allocated', 'released', 'shipped')", "state_is_known"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "reservation_lines",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("sku", sa.Text, primary_key=True),
        sa.Column("quantity", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "stock_receipts",
        sa.Column("receipt_id", sa.Uuid, primary_key=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )


def downgrade() -> None:
    for table in ("stock_receipts", "reservation_lines", "reservations", "stock", "products"):
        op.drop_table(table)
    drop_tables(op.get_bind())
