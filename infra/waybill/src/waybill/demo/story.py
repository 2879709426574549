"""What the demo orders: most of it ends well, and some of it goes wrong in each way that a shop knows."""

from collections.abc import Iterator
from typing import NamedTuple

from waybill.placing import Purchase

PLENTY = 100_000
SCARCE_UNITS = 8
PRICES = {"kettle": 3_490, "teapot": 4_950, "cup": 890, "tea": 640}
CUSTOMERS = 40


class Story(NamedTuple):
    """The demo's orders, and how they must end."""

    purchases: list[Purchase]
    repeated: list[Purchase]
    expected: dict[str, int]


def products(run: str) -> dict[str, tuple[int, int]]:
    """Return the products of a run with their prices and deliveries: plenty of most, too little of one."""
    return {f"{sku}-{run}": (price, PLENTY) for sku, price in PRICES.items()} | {f"last-{run}": (9_900, SCARCE_UNITS)}


def tell(run: str, orders: int) -> Story:
    """Return a run's orders: a fifth are declined, out of stock, charged late or sent twice."""
    scarce = max(SCARCE_UNITS + 2, orders // 20)
    declined, slow, flaky = max(1, orders // 12), 2, 2
    common = orders - scarce - declined - slow - flaky
    purchases = [
        *_some(run, "ok", common, "tok_ok"),
        *_some(run, "declined", declined, "tok_declined"),
        *_some(run, "slow", slow, "tok_timeout_after_charge"),
        *_some(run, "flaky", flaky, "tok_flaky"),
    ]
    purchases += [
        Purchase(_customer(run, number), ((f"last-{run}", 1),), "tok_ok", f"{run}-last-{number}")
        for number in range(scarce)
    ]
    expected = {
        "shipped": common + slow + flaky + SCARCE_UNITS,
        "declined": declined,
        "rejected": scarce - SCARCE_UNITS,
    }
    return Story(purchases, purchases[: orders // 10], expected)


def _some(run: str, kind: str, number: int, token: str) -> Iterator[Purchase]:
    skus = list(PRICES)
    for each in range(number):
        lines = ((f"{skus[each % len(skus)]}-{run}", 1 + each % 3), (f"tea-{run}", 1))
        yield Purchase(_customer(run, each), lines, token, f"{run}-{kind}-{each}")


def _customer(run: str, number: int) -> str:
    return f"customer-{run}-{number % CUSTOMERS}"
