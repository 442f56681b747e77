"""Who takes what programs send: an OTLP collector and a Sentry, over HTTP, that read every byte they get."""

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Seen:
    """A span as a test asks about it."""

    def __init__(self, program: str, span: Span) -> None:
        self.program = program
        self.name = span.name
        self.trace = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.failed = span.status.code == span.status.STATUS_CODE_ERROR
        self.events = len(span.events)
        self.facts: dict[str, str | int] = {
            fact.key: fact.value.int_value if fact.value.HasField("int_value") else fact.value.string_value
            for fact in span.attributes
        }

    def __repr__(self) -> str:
        return f"{self.program} {self.name} {self.facts}"


class Receiver:
    """An HTTP server on a port of its own; `bodies` is all that it got, decompressed, `headers` what stood before."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.headers += [f"{name}: {value}" for name, value in self.headers.items()]
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = receiver.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Tests' output is their own."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def take(self, path: str, body: bytes) -> bytes:
        """Keep a body; returns the answer's."""
        self.bodies.append(body)
        return b""

    def text(self) -> str:
        """All that was received, as far as it is text."""
        return b"\n".join(self.bodies).decode("utf-8", "replace")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Collector(Receiver):
    """An OpenTelemetry collector."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, path: str, body: bytes) -> bytes:
        assert path == "/v1/traces"
        super().take(path, body)
        return ExportTraceServiceResponse().SerializeToString()

    def spans(self) -> list[Seen]:
        """Every span so far."""
        found = []
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {fact.key: fact.value.string_value for fact in resource.resource.attributes}
                for scope in resource.scope_spans:
                    found += [Seen(names["service.name"], span) for span in scope.spans]
        return found

    def named(self, name: str) -> list[Seen]:
        """The spans of this name so far."""
        return [span for span in self.spans() if span.name == name]


class Sentry(Receiver):
    """A Sentry with one project."""

    @property
    def dsn(self) -> str:
        return f"http://public@127.0.0.1:{self.port}/7"

    def take(self, path: str, body: bytes) -> bytes:
        assert path == "/api/7/envelope/"
        super().take(path, body)
        return b"{}"

    def events(self) -> list[dict[str, Any]]:
        """Every report so far: an envelope is a header, and a header and a payload for each item."""
        found = []
        for body in list(self.bodies):
            lines = [json.loads(line) for line in body.splitlines() if line]
            kinds = [(lines[at]["type"], lines[at + 1]) for at in range(1, len(lines), 2)]
            assert {kind for kind, _ in kinds} == {"event"}  # and no sessions, traces or logs
            found += [payload for _, payload in kinds]
        return found


@contextmanager
def silent_port() -> Iterator[int]:
    """A port where connections are taken and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield listening.getsockname()[1]


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # held, so that nobody else listens there meanwhile
        yield holder.getsockname()[1]
