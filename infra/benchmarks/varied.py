"""The processes of a stack whose services can do without a guarantee: `varied.py supervise HOME` runs it.

The file `variant` in the home names what a service does without when it is started next; where there is none, nothing.
Nothing of this is in the product: its classes are changed in these processes alone.
"""

import os
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

VARIANT = "variant"  # in the stack's home, where its processes run
AS_IT_IS, TRACED, NO_TRANSACTIONS, AT_LEAST_ONCE = (
    "as it is",
    "with tracing",
    "no Kafka transactions",
    "at least once",
)


def no_transactions() -> None:
    """Send outputs by an idempotent producer, and commit the offsets when they are acknowledged.

    PostgreSQL still does all of its part: epochs, positions, claims, stored outputs.
    """
    from exactly_once.kafka import consumer, producer

    consumers: list[Any] = []
    assigned = consumer.GroupConsumer.assigned

    def remember(self: Any, places: Any) -> None:
        consumers[:] = [self]
        assigned(self, places)

    consumer.GroupConsumer.assigned = remember  # type: ignore[method-assign]
    producer._Producer = _plain_producer(consumers)  # type: ignore[misc]


def _plain_producer(consumers: list[Any]) -> type[Any]:
    """Return the library's producer without transactions; the first consumer of the list commits its offsets."""
    from aiokafka import AIOKafkaProducer

    from exactly_once.kafka import producer, settings

    class Plain(producer._Producer):
        def __init__(self, known: settings.KafkaSettings, name: str) -> None:
            AIOKafkaProducer.__init__(
                self,
                **known.client_options(name),
                enable_idempotence=True,
                request_timeout_ms=settings.PRODUCER_REQUEST_TIMEOUT_MS,
                retry_backoff_ms=settings.BACKOFF_MS,
                max_batch_size=512 * 1024,
                compression_type="lz4",
            )

        async def begin_transaction(self) -> None:
            """Do nothing."""

        async def commit_as(self, membership: Any, offsets: Any, group: str) -> None:
            del membership, group
            await consumers[0]._consumer.commit(offsets)

        async def commit_transaction(self) -> None:
            """Do nothing."""

    return Plain


def at_least_once() -> None:
    """Claim no event id and store no output either: what comes twice counts twice. Positions are still kept."""
    from exactly_once.claims import Claims
    from exactly_once.inbox import Inbox

    async def everything(_: Any, __: Any, entries: Any) -> list[Any]:
        return list(entries)

    async def forget(*_: Any) -> None:
        """Store nothing."""

    no_transactions()
    Claims.claim = everything  # type: ignore[assignment,method-assign]
    Inbox.store = forget  # type: ignore[assignment,method-assign]


def traced() -> None:
    """Export spans, to where OTEL_EXPORTER_OTLP_ENDPOINT says."""
    os.environ["OTEL_TRACES_EXPORTER"] = "otlp"


VARIANTS: dict[str, Callable[[], None]] = {
    AS_IT_IS: lambda: None,
    TRACED: traced,
    NO_TRANSACTIONS: no_transactions,
    AT_LEAST_ONCE: at_least_once,
}


def _supervise(home: Path) -> int:
    """Be the supervisor, whose services are this program."""
    from waybill.local import shop, supervisor

    program = shop.program

    def varied(stack: Any, service: str, instance: str, port: int) -> Any:
        usual = program(stack, service, instance, port)
        return replace(usual, command=[sys.executable, __file__, "serve", service])

    shop.program = varied
    return supervisor.main(home)


def _serve(service: str) -> None:
    """Be a service, less what the home's file says."""
    chosen = Path(VARIANT)
    VARIANTS[chosen.read_text() if chosen.exists() else AS_IT_IS]()
    runpy.run_module(f"{service}.main", run_name="__main__", alter_sys=True)


def main() -> None:
    """Be what the command line says."""
    del sys.path[0]  # the benchmarks' own names are no business of the services
    role, what = sys.argv[1:]
    if role == "serve":
        _serve(what)
    else:
        code = _supervise(Path(what))
        sys.stderr.flush()
        os._exit(code)  # as the supervisor itself does


if __name__ == "__main__":
    main()
