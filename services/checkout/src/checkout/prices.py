"""Prices that were quoted lately, so that an order needs one statement: the one that places it says if they stand."""

from collections.abc import Collection, Mapping

from cachetools import LRUCache

from contracts import Money

MOST_REMEMBERED = 20_000  # the products that were ordered last


class RememberedPrices:
    """What each product cost when it was last asked for, in this process; it may have changed since."""

    def __init__(self) -> None:
        self._prices: LRUCache[str, Money] = LRUCache(MOST_REMEMBERED)

    def of(self, skus: Collection[str]) -> dict[str, Money]:
        """Return the prices of these skus, as far as they are remembered."""
        return {sku: price for sku in skus if (price := self._prices.get(sku)) is not None}

    def learn(self, prices: Mapping[str, Money]) -> None:
        """Remember what was quoted."""
        self._prices.update(prices)

    def forget(self, skus: Collection[str]) -> None:
        """Have these skus asked for again."""
        for sku in skus:
            self._prices.pop(sku, None)
