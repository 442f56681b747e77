"""TLS in front of a server that has none: the embedded Valkey is built without it."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.redis_setups.setups import HOST

_WORDS = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"


@dataclass(frozen=True, slots=True)
class Tls:
    """Where it is spoken to, by the name `localhost`, and the file of the authority that vouches for it."""

    port: int
    authority: Path


@contextmanager
def in_front_of(port: int, folder: Path) -> Iterator[Tls]:
    """Encrypted connections to `port` of this machine, for the length of the block."""
    if shutil.which("openssl") is None:
        pytest.fail("This test makes a certificate: install openssl.")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", *_WORDS.split(), "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    loop, listening = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []
    stopping = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(lambda *ends: _between(port, *ends), HOST, 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        listening.set()
        await stopping.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert listening.wait(60)
        yield Tls(ports[0], cert)
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


async def _between(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    to_reader, to_writer = await asyncio.open_connection(HOST, port)
    ways = [asyncio.ensure_future(_copy(*way)) for way in ((reader, to_writer), (to_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        pass  # the test is over
    finally:
        for way in ways:
            way.cancel()
        for end in (writer, to_writer):
            end.close()
            with suppress(OSError, asyncio.CancelledError):
                await end.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
