"""Changes what proves who somebody is, while everything runs: passwords and certificates."""

from collections.abc import Callable

Renewal = Callable[[], None]  # has running parts see what was changed in the home
