"""Latencies as histograms: milliseconds at the percentiles that are published."""

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

LONGEST_MS = 600_000
MICROSECONDS = 1_000


def percentiles_ms(seconds: Iterable[float]) -> dict[str, float]:
    """Return p50, p90, p99, p99.9 and the maximum of these durations, in milliseconds; empty for none."""
    histogram = HdrHistogram(1, LONGEST_MS * MICROSECONDS, 3)
    for each in seconds:
        histogram.record_value(max(1, round(each * 1000 * MICROSECONDS)))
    if not histogram.get_total_count():
        return {}
    points = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}
    return {name: round(histogram.get_value_at_percentile(point) / MICROSECONDS, 1) for name, point in points.items()}
