"""Traces, where OTEL_TRACES_EXPORTER asks for them; without it no span is ever made."""

import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

EXPORTERS: dict[str, type[SpanExporter]] = {"otlp": OTLPSpanExporter, "console": ConsoleSpanExporter}


def configure(service: str, instance: str) -> None:
    """Export spans as the environment says: `otlp`, `console`, or `none` (the default)."""
    chosen = os.environ.get("OTEL_TRACES_EXPORTER", "none")
    if chosen not in EXPORTERS:
        return
    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(EXPORTERS[chosen]()))
    trace.set_tracer_provider(provider)
