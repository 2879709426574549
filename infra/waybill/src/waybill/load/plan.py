"""When orders arrive: a schedule that no answer holds back."""

import math
from typing import NamedTuple


class Plan(NamedTuple):
    """`rate` orders a second for `duration_s`, after a rise from none over `ramp_s` and `warm_up_s` at the full rate.

    What arrives during the rise and the warm-up is not measured.
    """

    rate: float
    ramp_s: float
    warm_up_s: float
    duration_s: float

    @property
    def orders(self) -> int:
        """How many orders arrive in all."""
        return self.unmeasured + round(self.rate * self.duration_s)

    @property
    def unmeasured(self) -> int:
        """How many of them, the first ones, arrive before the measured time."""
        return round(self.rate * (self.ramp_s / 2 + self.warm_up_s))

    @property
    def measured_from_s(self) -> float:
        """When the measured time begins, from the first moment."""
        return self.ramp_s + self.warm_up_s

    def due_s(self, number: int) -> float:
        """Return when an order arrives, from the first moment; the first is number 0."""
        rising = self.rate * self.ramp_s / 2
        if number < rising:
            return math.sqrt(2 * number * self.ramp_s / self.rate)
        return self.ramp_s + (number - rising) / self.rate
