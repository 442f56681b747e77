"""The server in front of the app: the fast lane and Hypercorn, in a loop of ours that can stop without cutting anybody.

Hypercorn's own shutdown closes idle and freshly accepted connections at once; under load that cuts requests. Here the
process first says that it leaves, then stops accepting, then lets the last connections speak.
"""

import asyncio
import gc
import logging
import signal
import socket
import time

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from core.config import Settings
from core.contracts.postback_event import LARGEST
from core.domain.hosts import is_loopback
from core.observe import logger, serve_metrics
from tracker_quart.app import create_app, service_of
from tracker_quart.connection import KEEP_ALIVE_REQUESTS, KEEP_ALIVE_S, LONGEST_HEAD
from tracker_quart.contact import end
from tracker_quart.fastlane import HANDED_OVER_REQUESTS, FastLane
from tracker_quart.request_head import HeadReader

PORT = 8080
BACKLOG = 2048

_LAST_WORD_S = 0.25
_LOOK_S = 0.02
_GC_THRESHOLD = 50_000
_FINISH_S = 10.0

log = logger(__name__)


async def serve(settings: Settings) -> None:
    """Answer until SIGTERM or SIGINT, then drain and return. Raises OSError when the port can not be had.

    With TRACKER_FD the listening socket is inherited, and shared with the other processes that got it.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    listening = _listening_socket(settings)
    app = create_app(settings)
    await app.startup()
    service = service_of(app)

    config = _config(fast_lane=settings.fast_lane)
    context = WorkerContext(None)
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await TCPServer(wrapped, loop, config, context, ConnectionState({}), reader, writer)

    lane = FastLane(service=service, reader=HeadReader(settings.trusted_proxies), talk=talk)
    if settings.fast_lane:
        server = await loop.create_server(lane.connect, sock=listening, backlog=BACKLOG)
    else:
        server = await asyncio.start_server(lane.converse, sock=listening, backlog=BACKLOG)
    sweeper = asyncio.create_task(lane.sweep())
    if settings.metrics_port is not None:
        port = serve_metrics(settings.metrics_port, host=_metrics_host(settings.host))
        log.info("tracker.metrics", port=port)
    _calm_the_collector()
    log.info("tracker.ready", address=_name(listening), redis=service.redis_answers)

    await stop.wait()
    log.info("tracker.draining")
    service.begin_drain(hold=settings.drain_hold)
    await asyncio.sleep(settings.drain_hold)
    server.close()
    await asyncio.sleep(_LAST_WORD_S)  # for requests on connections that were accepted just now
    await asyncio.sleep(0)  # and for those that came while this loop had other work
    lane.end()  # idle connections close, busy ones after their answer
    await context.terminated.set()
    await _finish(lane, limit=min(_FINISH_S, settings.drain_limit / 2))
    await end(sweeper)
    await app.shutdown()
    log.info("tracker.stopped")


async def _finish(lane: FastLane, *, limit: float) -> None:
    deadline = time.monotonic() + limit
    while lane.open and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_S)
    if lane.open:
        log.warning("connections.cut", connections=lane.open)
        await lane.cut()


def _calm_the_collector() -> None:
    """What was made at the start lives as long as the process, and a redirect leaves no cycles behind: the default
    settings spend an eighth of the processor on looking for some."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)


def _config(*, fast_lane: bool) -> Config:
    config = Config()
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.keep_alive_max_requests = HANDED_OVER_REQUESTS if fast_lane else KEEP_ALIVE_REQUESTS
    config.include_server_header = False
    # A postback may bring all that is taken in its address. What is longer than this the lane cuts.
    config.h11_max_incomplete_size = LARGEST + 4 * LONGEST_HEAD
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    return config


def _listening_socket(settings: Settings) -> socket.socket:
    if settings.tracker_fd is not None:
        listening = socket.socket(fileno=settings.tracker_fd)
    else:
        port = PORT if settings.port is None else settings.port
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, port))
    listening.setblocking(False)
    return listening


def _metrics_host(host: str) -> str:
    """Next to the links on this machine; on every address where links are served to others, as in a pod."""
    if is_loopback(f"[{host}]" if ":" in host else host):
        return host
    return "::" if ":" in host else "0.0.0.0"  # noqa: S104


def _name(listening: socket.socket) -> str:
    name = listening.getsockname()
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)
