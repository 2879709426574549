"""Takes spans as a collector would, and counts them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Spans:
    """Where to send spans, and how many came."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.number = 0

    def take(self, body: bytes) -> None:
        """Count the spans of an export."""
        resources = ExportTraceServiceRequest.FromString(body).resource_spans
        self.number += sum(len(scope.spans) for resource in resources for scope in resource.scope_spans)


@contextmanager
def collecting() -> Iterator[Spans]:
    """Listen for OTLP over HTTP for the length of the block."""

    class Export(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            spans.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Export) as server:
        spans = Spans(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield spans
        server.shutdown()
