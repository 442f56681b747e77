"""Traces (OpenTelemetry): who called whom, and how long each part took. OTEL_EXPORTER_OTLP_ENDPOINT switches them on.

Off, nothing of OpenTelemetry is imported, and a span costs the look at one variable. On, spans are sent by a thread of
their own, and dropped when nobody takes them: no request and no batch waits for a collector.

A span holds names, numbers and ids, and of an error its kind alone: no query string, no address, nothing that a person
typed, for what is sent lies on somebody else's machine.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Thread
from typing import TYPE_CHECKING

from core.config import OBSERVE_HINT, SettingError
from core.observe import current_request
from core.release import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

SERVER, CONSUMER, CLIENT, INTERNAL = "SERVER", "CONSUMER", "CLIENT", "INTERNAL"
"""Kinds of spans: a request that is answered, a message that is worked on, a call of another server, a part of it."""

Facts = Mapping[str, str | int]

_LAST_SPANS_S = 3.0
"""How long the end of a program waits for a collector to take the last spans."""

_OFF: AbstractContextManager[None] = nullcontext()

_provider: "TracerProvider | None" = None
_tracer: "Tracer | None" = None


def check(endpoint: str) -> None:
    """Raise SettingError when an endpoint is set and the packages are not here."""
    if not endpoint:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as error:
        raise SettingError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT needs packages that are not here: {OBSERVE_HINT}."
        ) from error


def start(program: str, endpoint: str, headers: str = "") -> None:
    """Send spans of this process to the collector at `endpoint` (OTLP over HTTP, without the path), with `headers`
    (`name=value,...`). Everything else, such as which traces are kept, OpenTelemetry's own variables say.

    Starts a thread: called in the process that does the work, after `check` and any fork."""
    global _provider, _tracer
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.util.re import parse_env_headers

    facts = {"service.namespace": "rastro", "service.name": f"rastro-{program}", "service.version": VERSION}
    _provider = TracerProvider(resource=Resource.create(facts), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(
        endpoint=f"{endpoint}/v1/traces", headers=parse_env_headers(headers, liberal=True)
    )
    _provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracer = _provider.get_tracer("rastro", VERSION)


def stop() -> None:
    """Send what is left, for a few seconds at most: a program must not outlive its grace for a collector that hangs."""
    global _provider, _tracer
    if _provider is None:
        return
    last = Thread(target=_provider.shutdown, name="last spans", daemon=True)
    last.start()
    last.join(_LAST_SPANS_S)
    _provider = _tracer = None


def is_on() -> bool:
    """True between `start` and `stop`."""
    return _tracer is not None


def span(
    name: str, *, kind: str = INTERNAL, parent: str = "", facts: Facts | None = None
) -> "AbstractContextManager[Span | None]":
    """What happens inside is a span, part of the one around it or of `parent`, a text of `travelling`. An error that
    passes makes it a failed one. None where traces are off."""
    return _OFF if _tracer is None else _spanned(_tracer, name, kind, parent, facts)


def part(name: str, *, facts: Facts | None = None) -> "Span | None":
    """Begin a span for a call of another server, inside of the one at hand, and give it to `part_done` later. None
    outside of any: what programs do by the clock all day is no trace."""
    if _tracer is None or not _current().is_recording():
        return None
    from opentelemetry.trace import SpanKind

    return _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=facts)


def part_done(begun: "Span | None", error: BaseException | None = None) -> None:
    """End what `part` began."""
    if begun is not None:
        if error is not None:
            _mark(begun, error)
        begun.end()


def answered(one: "Span | None", status: int) -> None:
    """Write the HTTP status into the span of a request; from 500 on it is a failed one."""
    if one is not None:
        from opentelemetry.trace import StatusCode

        one.set_attribute("http.response.status_code", status)
        if status >= 500:
            one.set_status(StatusCode.ERROR)


def failed(error: BaseException) -> None:
    """Make the span at hand a failed one, where an error was dealt with inside."""
    if _tracer is not None:
        _mark(_current(), error)


def travelling() -> str:
    """The span at hand as W3C's `traceparent`, for a message that another program works on; "" outside of any."""
    if _tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def journey() -> str:
    """The id of the request at hand and, where traces are on, its span: one text, for a row that a worker takes on."""
    trace = travelling()
    return f"{current_request()} {trace}" if trace else current_request()


def arrived(journey: str) -> tuple[str, str]:
    """The id of the request and the span, either may be "", of what `journey` wrote."""
    request, _, trace = journey.partition(" ")
    return request, trace


@contextmanager
def _spanned(
    tracer: "Tracer", name: str, kind: str, parent: str, facts: Facts | None
) -> "Iterator[Span | None]":
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    around = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    with tracer.start_as_current_span(
        name,
        context=around,
        kind=SpanKind[kind],
        attributes=facts,
        record_exception=False,  # its text and its traceback may quote anything
        set_status_on_exception=False,
    ) as one:
        try:
            yield one
        except BaseException as error:
            _mark(one, error)
            raise


def _current() -> "Span":
    from opentelemetry.trace import get_current_span

    return get_current_span()


def _mark(one: "Span", error: BaseException) -> None:
    from opentelemetry.trace import StatusCode

    one.set_status(StatusCode.ERROR)
    one.set_attribute("error.type", type(error).__name__)
