"""What all programs say about themselves: one log format, and metrics on a port of their own.

Logs hold no query strings and no full addresses: `scrub` sees every event before it is written.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterable, MutableMapping
from ipaddress import ip_address, ip_network
from typing import Any

import structlog
from prometheus_client import REGISTRY, Counter, Gauge, start_http_server
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from core.histogram import SECONDS, SIZES, Histogram


class Tally:
    """A count that one thread alone adds to: a sixth of what a Counter of prometheus_client costs, with its lock."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Add to it. Only from one thread; any other may read."""
        self.value += amount


class Tallies(Collector):
    """A metric of tallies by one label, for what happens on every visit."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._family = (name, documentation)
        self._label = label
        self._tallies: dict[str, Tally] = {}
        REGISTRY.register(self)

    def labels(self, value: str) -> Tally:
        """The tally of a label's value; the same one each time."""
        return self._tallies.setdefault(value, Tally())

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Called by prometheus_client for each look at the metrics."""
        family = CounterMetricFamily(*self._family, labels=[self._label])
        for value, tally in list(self._tallies.items()):
            family.add_metric([value], tally.value)
        yield family


ANSWERED = Tallies("rastro_answered", "Visits answered, by outcome", "outcome")
REDIRECT_SECONDS = Histogram(
    "rastro_redirect_seconds",
    "Time from the end of a request's head to the writing of its answer",
    bounds=SECONDS,
)
SNAPSHOT_READS = Tallies("rastro_snapshot_reads", "Snapshots used, by where they came from", "source")
SNAPSHOTS_UNREADABLE = Counter("rastro_snapshots_unreadable", "Snapshots that could not be read", ["reason"])
CLICKS = Tallies("rastro_clicks", "Clicks, by where they were kept", "kept")
GROUP_CLICKS = Histogram("rastro_group_clicks", "Clicks kept together", bounds=SIZES)
COMMIT_SECONDS = Histogram(
    "rastro_commit_seconds", "Time that Redis took to acknowledge a group", bounds=SECONDS
)
SPOOLED = Gauge("rastro_spooled", "Clicks that wait on disk")
CAP_OVERSHOOT = Counter("rastro_cap_overshoot", "People led beyond a click cap while Redis was away")
REPLAYED = Counter("rastro_replayed", "Spooled clicks that reached Redis")
STRANDED = Counter("rastro_stranded", "Clicks still on disk when the tracker stopped")
POSTBACKS = Tallies("rastro_postbacks", "Postbacks, by where they were kept", "kept")
POSTBACKS_TAKEN = Tallies("rastro_postbacks_taken", "Postbacks taken, by how they came", "kind")
POSTBACKS_REFUSED = Tallies("rastro_postbacks_refused", "Postbacks refused at the door, by reason", "reason")
POSTBACKS_IGNORED = Tallies(
    "rastro_postbacks_ignored", "Looks at postback addresses that count for nothing", "reason"
)
POSTBACK_SECONDS = Histogram(
    "rastro_postback_seconds",
    "Time from the end of a postback's head to the writing of its answer",
    bounds=SECONDS,
)
POSTBACKS_SPOOLED = Gauge("rastro_postbacks_spooled", "Postbacks that wait on disk")
POSTBACKS_REPLAYED = Counter("rastro_postbacks_replayed", "Spooled postbacks that reached Redis")
POSTBACKS_STRANDED = Counter("rastro_postbacks_stranded", "Postbacks still on disk when the tracker stopped")
REPORT_READS = Counter("rastro_report_reads", "Reports read, by the server that was asked", ["server"])
REPLICA_LAG = Gauge("rastro_replica_lag_seconds", "How far the read replica was behind when it was looked at")
CLOCK_BACK = Counter("rastro_clock_back", "Times the clock jumped back")

_PRIVATE = frozenset({"query", "query_string", "password", "authorization", "cookie"})
_AFTER_QUESTION_MARK = re.compile(r"\?\S+")
_NAMED_QUERY = re.compile(
    r"""(query(?:_string)?['"]?\s*[=:]\s*b?)(['"])(?:\\.|(?!\2).)*(?:\2|\Z)""", re.IGNORECASE | re.DOTALL
)
_PAIR = re.compile(r"(?<=[\w\]%])=[^\s;,'\"()=][^\s;,'\"()]*")
_TOKEN = re.compile(r"\bpb_[a-z2-7]{4,}")
_AT = re.compile(r"[^\s'\"<>()\[\]{},;]+@[^\s'\"<>()\[\]{},;]+")
_V4 = r"\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)"
_ADDRESS = re.compile(
    rf"(?<![0-9a-f:])(?:[0-9a-f]{{0,4}}:){{2,7}}(?:{_V4}|[0-9a-f]{{0,4}}(?![0-9a-f:.]))|(?<!\d)(?<!\d\.){_V4}",
    re.IGNORECASE,
)


def setup_logging(
    program: str, *, log_format: str, log_level: str, note: structlog.typing.Processor | None = None
) -> None:
    """Send the logs of this process, its libraries' included, to stderr: `log_format` is json or text.

    Every line carries `program`. `note` sees every event before its exception becomes text. Called once, by a program's
    main function.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([note] if note is not None else []),
        structlog.processors.format_exc_info,
        _named(program),
        scrub,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log_level.upper())


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose events are `log.info("spool.replayed", clicks=12)`: a fixed name, then facts as fields."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return bound


def begin_request(request_id: str, **fields: str) -> None:
    """From here on every line that this thread (or task) logs carries the id of a request and `fields`, and no others:
    what is logged for one request is found by one word, whichever programs it went through."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**({"request": request_id} if request_id else {}), **fields)


def end_request() -> None:
    """What is logged next belongs to none."""
    structlog.contextvars.clear_contextvars()


def current_request() -> str:
    """The id of the request at hand; "" outside of one."""
    return str(structlog.contextvars.get_contextvars().get("request", ""))


def serve_metrics(port: int, *, host: str, wrap: Callable[[Any], Any] = lambda app: app) -> int:
    """Answer `/metrics` on a thread and a port of its own; 0 takes a free one. Returns the port. `wrap` is given the
    WSGI app of the metrics and returns the one that answers.

    Raises OSError when the port is taken.
    """
    server, _thread = start_http_server(port, addr=host)
    server.set_app(wrap(server.get_app()))
    return int(server.server_port)


def masked(address: str) -> str:
    """An address as logs may hold it: its network alone (/24, or /48 of IPv6). Text that is none becomes ""."""
    try:
        ip = ip_address(address)
    except ValueError:
        return ""
    return str(ip_network((ip, 24 if ip.version == 4 else 48), strict=False).network_address)


def scrub(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out of a log event what must not be kept: query strings, secrets, tokens of postbacks, full addresses of
    visitors.

    Our own events name what they hold. Texts that are not ours, such as tracebacks and what libraries say, may quote
    anything: there whatever looks like a query or an address goes.
    """
    for name in _PRIVATE & event.keys():
        del event[name]
    if isinstance(event.get("ip"), str):
        event["ip"] = masked(event["ip"])
    for name in ("url", "path"):
        if isinstance(event.get(name), str):
            event[name] = _TOKEN.sub("pb_…", event[name].partition("?")[0])
    for name in ("error", "reason"):
        if isinstance(event.get(name), str):
            event[name] = _without_queries(event[name])
    for name in ("exception", "stack"):
        if isinstance(event.get(name), str):
            event[name] = _PAIR.sub("=…", _without_addresses(_without_queries(event[name])))
    if event.get("_from_structlog") is False and isinstance(event.get("event"), str):
        event["event"] = _without_addresses(_without_queries(event["event"]))
    return event


def without_private(text: str) -> str:
    """What may leave the house of an error's own text: its first line alone, since servers quote values in those that
    follow, without what looks like a query, an address of a visitor, an e-mail address or a password in a URL."""
    line = text.strip().partition("\n")[0]
    return _AT.sub("…", _PAIR.sub("=…", _without_addresses(_without_queries(line))))


def _without_queries(text: str) -> str:
    return _TOKEN.sub("pb_…", _AFTER_QUESTION_MARK.sub("?…", _NAMED_QUERY.sub(r"\1\2…\2", text)))


def _without_addresses(text: str) -> str:
    return _ADDRESS.sub(_masked_match, text)


def _masked_match(found: re.Match[str]) -> str:
    """An address of this machine itself is nobody's, and what only looks like an address stays."""
    text = found[0]
    for start in (0, 1):  # of `For:2001:db8::7` the colon is found as well
        try:
            ip = ip_address(text[start:])
        except ValueError:
            continue
        return text if ip.is_loopback or ip.is_unspecified else text[:start] + masked(text[start:])
    return text


def _named(program: str) -> structlog.typing.Processor:
    def add_program(
        _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event["program"] = program
        return event

    return add_program
