"""Logs as JSON lines on standard output, with the trace they belong to; never a local variable, never a secret."""

import logging
import sys
from typing import Any

import structlog
from opentelemetry import trace

ERRORS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
QUIET = ("aiokafka", "asyncio", "uvicorn.access", "kafka")


def configure(level: str, service: str, instance: str) -> None:
    """Send the logs of this process, its libraries' included, to standard output."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace,
        ERRORS,
        without_rows,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
    handler = logging.StreamHandler(sys.stdout)
    foreign = [structlog.stdlib.add_logger_name, *shared]
    renderers: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=foreign, processors=renderers))
    logging.basicConfig(handlers=[handler], level=number, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def without_rows(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Cut off what PostgreSQL adds to an error's first line: the row that it refused, its values included."""
    if isinstance(event.get("exception"), list):
        _cut(event["exception"])
    return event


def _cut(errors: list[dict[str, Any]]) -> None:
    for error in errors:
        error["exc_value"] = error["exc_value"].partition("\nDETAIL:")[0]
        for each in error["exceptions"]:
            _cut(each)


def _trace(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = f"{span.trace_id:032x}"
    return event
