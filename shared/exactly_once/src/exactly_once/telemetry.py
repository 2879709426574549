"""Every metric that the library exports, declared once."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("exactly_once_records_total", "Records passed, by what became of them", ["group", "topic", "result"])
FAILURES = Counter("exactly_once_failures_total", "Failures of the loop, by the recovery they need", ["group", "kind"])
RECOVERIES = Counter("exactly_once_recoveries_total", "Recoveries that ended well", ["group"])
REPUBLISHED = Counter("exactly_once_republished_total", "Stored outputs that a recovery published", ["group"])
BATCH_RECORDS = Histogram(
    "exactly_once_batch_records", "Records in a batch", ["group"], buckets=(1, 3, 10, 30, 100, 300, 1000, 3000)
)
STEP_SECONDS = Histogram(
    "exactly_once_step_seconds",
    "Time of a step: decide (PostgreSQL), publish (Kafka); one batch may be decided while another is published",
    ["group", "step"],
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
LAG_RECORDS = Gauge("exactly_once_lag_records", "Records between our position and the last stable offset", ["group"])
RELAYED = Counter("exactly_once_relayed_total", "Outbox rows that the relay published", ["name"])
