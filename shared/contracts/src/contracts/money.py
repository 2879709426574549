"""Money as integers: minor units and a currency."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

MAX_MINOR = 10**15  # sums of thousands of these still fit into 64 bits


class Money(BaseModel):
    """An amount that is not negative, in minor units (cents) of an ISO 4217 currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount_minor: Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]

    def __add__(self, other: Self) -> Self:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
        return type(self)(amount_minor=self.amount_minor + other.amount_minor, currency=self.currency)

    def times(self, quantity: int) -> Self:
        """Return the price of so many at this price."""
        return type(self)(amount_minor=self.amount_minor * quantity, currency=self.currency)
