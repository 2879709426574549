"""What the bodies of requests have in common: text that PostgreSQL can keep, and numbers that came as numbers."""

from typing import Annotated

from pydantic import Field

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"  # PostgreSQL stores no NUL, and nobody's product is named by a line feed
PRINTABLE_OR_EMPTY = r"^[^\x00-\x1f\x7f]*$"

Sku = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE)]
WholeNumber = Annotated[int, Field(strict=True)]  # `true` is not one
