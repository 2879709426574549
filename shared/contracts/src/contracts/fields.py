"""The kinds of fields that events are made of, with the limits that keep nonsense out of the services."""

import datetime as dt
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.money import Money


def _with_zone(instant: dt.datetime) -> dt.datetime:
    if instant.tzinfo is None:  # Avro would take it for local time
        raise ValueError("an instant needs its time zone")
    return instant.astimezone(dt.UTC)


Instant = Annotated[dt.datetime, AfterValidator(_with_zone)]
CustomerId = Annotated[str, Field(min_length=1, max_length=100)]
Sku = Annotated[str, Field(min_length=1, max_length=100)]
Quantity = Annotated[int, Field(ge=1, le=1_000_000)]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(max_length=500)]


class OrderLine(BaseModel):
    """So many of one product at the price the customer saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sku: Sku
    quantity: Quantity
    unit_price: Money


class StockLine(BaseModel):
    """So many of one product, on a shelf or in a parcel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sku: Sku
    quantity: Quantity


class ReleaseReason(StrEnum):
    """Why held stock went back to the shelf."""

    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class OrderStatus(StrEnum):
    """Where an order is; shipped, rejected, declined, expired and cancelled are ends."""

    PLACED = "placed"
    RESERVED = "reserved"
    PAID = "paid"
    SHIPPED = "shipped"
    REJECTED = "rejected"
    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
