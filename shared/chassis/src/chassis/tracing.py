"""Traces: every request has a trace id; spans are recorded only where OTEL_TRACES_EXPORTER asks for them."""

import os
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from random import getrandbits
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

EXPORTERS: dict[str, type[SpanExporter]] = {"otlp": OTLPSpanExporter, "console": ConsoleSpanExporter}
PROPAGATED = (b"traceparent", b"tracestate")

_w3c = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("chassis")


def configure(service: str, instance: str) -> None:
    """Export spans as the environment says: `otlp`, `console`, or `none` (the default)."""
    chosen = os.environ.get("OTEL_TRACES_EXPORTER", "none")
    if chosen not in EXPORTERS:
        return
    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(EXPORTERS[chosen]()))
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Send the spans that are still in memory; called as the process ends."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def is_recorded() -> bool:
    """Tell whether this process records spans; to be asked once, since OpenTelemetry looks into the environment."""
    return isinstance(trace.get_tracer_provider(), TracerProvider)


def request_span(scope: MutableMapping[str, Any], *, recorded: bool) -> AbstractContextManager[Any]:
    """Continue the caller's trace, or begin one, for as long as a request takes."""
    carrier = {key.decode(): value.decode("latin-1") for key, value in scope["headers"] if key in PROPAGATED}
    called = _w3c.extract(carrier) if carrier else Context()
    if recorded:
        return _tracer.start_as_current_span(f"{scope['method']} request", called, SpanKind.SERVER)
    is_begun = bool(carrier) and trace.get_current_span(called).get_span_context().is_valid
    return _Within(called if is_begun else _unrecorded())


class _Within(AbstractContextManager[None]):
    """Makes a context the current one; no generator, since it is passed by every request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        detach(self._token)


def _unrecorded() -> Context:
    """Return a trace that nobody records: logs, problems and events still share its id."""
    span = SpanContext(getrandbits(128) or 1, getrandbits(64) or 1, is_remote=False, trace_flags=TraceFlags(0))
    return trace.set_span_in_context(NonRecordingSpan(span), Context())


def current_trace_id() -> str:
    """Return the trace's id in hexadecimal, empty outside of any."""
    span = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span.trace_id) if span.is_valid else ""


def current_traceparent() -> str:
    """Return the W3C header of the trace under way, empty outside of any."""
    span = trace.get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else ""
