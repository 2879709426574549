"""Reads purchases from a CSV file: customer_id, date, quantity, amount."""

import csv
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from waybill.errors import UsageError

COLUMNS = ["customer_id", "date", "quantity", "amount"]
MINOR_PER_MAJOR = 100


class Sale(NamedTuple):
    """One line of the file; the amount in cents."""

    line: int
    customer_id: str
    quantity: int
    amount_minor: int

    @property
    def sku(self) -> str:
        """The product that stands for this pair of quantity and amount: one unit of it is the whole purchase."""
        return f"cd-{self.quantity}x-{self.amount_minor}"


def read(path: Path, limit: int | None = None) -> list[Sale]:
    """Return the file's sales in order. UsageError names the file, and the line and column that are wrong."""
    try:
        with path.open(newline="") as file:
            return list(_sales(path, file, limit))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error


def _sales(path: Path, lines: Iterator[str], limit: int | None) -> Iterator[Sale]:
    reader = csv.DictReader(lines)
    if reader.fieldnames != COLUMNS:
        raise UsageError(f"{path} must have the columns {','.join(COLUMNS)}, not {','.join(reader.fieldnames or [])}")
    number = 0
    for number, row in enumerate(reader, start=1):
        if limit is not None and number > limit:
            return
        yield _sale(path, number + 1, row)
    if not number:
        raise UsageError(f"{path} holds no purchases")


def _sale(path: Path, line: int, row: dict[str, str]) -> Sale:
    try:
        dt.date.fromisoformat(row["date"])
        quantity, amount = int(row["quantity"]), Decimal(row["amount"]) * MINOR_PER_MAJOR
        valid = quantity >= 1 and amount >= 0 and amount == int(amount) and bool(row["customer_id"])
    except (ValueError, TypeError, InvalidOperation):
        valid = False
    if not valid:
        raise UsageError(f"{path}, line {line}: {','.join(map(str, row.values()))} is no purchase")
    return Sale(line, row["customer_id"], quantity, int(amount))
