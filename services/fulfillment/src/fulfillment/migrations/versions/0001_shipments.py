"""Shipments, and the library's tables."""

import sqlalchemy as sa
from alembic import op

from exactly_once.tables import create_tables, drop_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_tables(op.get_bind())
    op.create_table(
        "shipments",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("shipment_id", sa.Uuid, nullable=False, unique=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )
    op.create_table(
        "shipment_lines",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("sku", sa.Text, primary_key=True),
        sa.Column("quantity", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("shipment_lines")
    op.drop_table("shipments")
    drop_tables(op.get_bind())
