"""What is recorded of a request, where anything is."""

import os

import httpx
import pytest
from asgi_lifespan import LifespanManager
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import chassis
from chassis import ServiceSettings, tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


async def asked(headers: dict[str, str]) -> str:
    """Ask a service for what is not there; return the trace that its answer names."""
    nothing = {"postgres_host": "", "postgres_port": 0, "postgres_database": "", "postgres_user": ""}
    given = {"service": "checkout", "http_port": 1, "postgres_password_file": os.devnull}
    app = chassis.create_app(ServiceSettings.model_validate(nothing | given))
    async with LifespanManager(app) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return str((await client.get("/nowhere", headers=headers)).json()["trace_id"])


def trace_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return trace.format_trace_id(context.trace_id)


async def test_a_request_is_one_span_in_its_callers_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(recorded))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    monkeypatch.setattr(tracing, "flush", lambda: None)  # the service ends, the provider is the test's
    assert await asked(CALLED) == TRACE
    (span,) = recorded.get_finished_spans()
    assert (span.name, span.kind, trace_of(span)) == ("GET request", SpanKind.SERVER, TRACE)
    own = await asked({})
    assert [trace_of(each) for each in recorded.get_finished_spans()] == [TRACE, own]


async def test_a_request_that_nobody_records_has_a_trace_all_the_same() -> None:
    first, second = await asked({}), await asked({})
    assert (len(first), len(second), first == second) == (32, 32, False)
    assert await asked(CALLED) == TRACE
    assert await asked({"traceparent": "nonsense"}) not in {"", "nonsense", TRACE}
