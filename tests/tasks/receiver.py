"""A receiver of outgoing postbacks on this machine: answers by path, and keeps what it was sent."""

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network

HERE = (ip_network("127.0.0.0/8"),)
"""What a sender must be allowed to reach it."""

Answer = Callable[[socketserver.StreamRequestHandler], None]


@dataclass(frozen=True)
class Sent:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: str
    at: float


class Receiver(socketserver.ThreadingTCPServer):
    """`answers` by path; 200 for all others."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[Sent] = []
        self.answers: dict[str, Answer] = {}
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def paths(self) -> list[str]:
        return [one.target.partition("?")[0] for one in self.sent]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nobody's fault."""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        receiver = self.server
        assert isinstance(receiver, Receiver)
        line = self.rfile.readline().decode()
        headers: dict[str, str] = {}
        while (text := self.rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0))).decode()
        method, target, _ = line.split(" ", 2)
        receiver.sent.append(Sent(method, target, headers, body, time.monotonic()))
        receiver.answers.get(target.partition("?")[0], answer(200))(self)


def answer(status: int, body: bytes = b"OK", **headers: str) -> Answer:
    def write(handler: socketserver.StreamRequestHandler) -> None:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        handler.wfile.write(head.encode() + body)

    return write


def hang(handler: socketserver.StreamRequestHandler) -> None:
    """Say nothing until the test is over."""
    receiver = handler.server
    assert isinstance(receiver, Receiver)
    receiver.closing.wait(60)


def hang_up(handler: socketserver.StreamRequestHandler) -> None:
    """Close without an answer."""


def never_end(handler: socketserver.StreamRequestHandler) -> None:
    """An answer without an end, as fast as it goes."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
    receiver = handler.server
    assert isinstance(receiver, Receiver)
    while not receiver.closing.is_set():
        handler.wfile.write(b"x" * 65536)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for as long as the block runs."""
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.closing.set()
            receiver.shutdown()
            thread.join()
