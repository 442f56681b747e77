"""The Quart application: probes, small files, postbacks and pixels, and every other path as a short link."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from quart import Quart, Request, Response, request
from quart.wrappers.request import Body
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed, UnsupportedMediaType

from core.config import Settings
from core.contracts.postback_event import LARGEST
from core.observe import POSTBACK_SECONDS
from tracker_quart.answers import Answer
from tracker_quart.hits import Hit, read_hit
from tracker_quart.request_head import OWN_PATHS
from tracker_quart.service import Service
from tracker_quart.visit import Visit, password_in, read_visit

_LONG = "public, max-age=604800"
_EXTENSION = "rastro"
_LARGEST_BODY = 4096  # a password of 128 characters takes 1.5 kB when each is percent-encoded
_BODY_S = 10
_MOST_READ = 2 << 20
"""Bytes of a postback's body that are waited for, so that whoever sends hears the answer. More are not."""

_POSTBACK = "/postback/"
_SCRIPT = Path(__file__).with_name("rastro.js")
_FORM = "application/x-www-form-urlencoded"

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Bare(Response):
    """A response with the headers it is given, and no others."""

    default_mimetype = None  # type: ignore[assignment]


class Posted(Body):
    """The body of a postback: its beginning, LARGEST bytes at most, and its size, as far as that is known."""

    def __init__(self, announced: int | None) -> None:
        super().__init__(None, None)
        self.size = 0
        if announced is not None and announced > _MOST_READ:
            self.size = announced
            self.set_complete()

    def append(self, data: bytes) -> None:
        if self._complete.is_set():
            return
        self.size += len(data)
        super().append(data[: LARGEST - len(self._data)])
        if self.size > _MOST_READ:
            self.set_complete()


class Asked(Request):
    """A request whose body is read as far as its path is worth it."""

    def __init__(self, method: str, scheme: str, path: str, *rest: Any, **more: Any) -> None:
        super().__init__(method, scheme, path, *rest, **more)
        if path.startswith(_POSTBACK):
            self.body = Posted(self.content_length)


def create_app(settings: Settings) -> Quart:
    """The tracker's app. Its Service lives from start-up to shutdown of the app; `service_of` finds it."""
    app = Quart(__name__, static_folder=None, template_folder=None)
    app.response_class = Bare
    app.request_class = Asked
    app.config.update(MAX_CONTENT_LENGTH=_LARGEST_BODY, BODY_TIMEOUT=_BODY_S)
    app.asgi_app = _origin_form(app.asgi_app)  # type: ignore[method-assign, assignment]

    @app.while_serving
    async def run_service() -> AsyncGenerator[None, None]:
        service = Service(settings)
        app.extensions[_EXTENSION] = service
        await service.start()
        yield
        await service.stop()

    @app.get("/livez")
    async def livez() -> Response:
        return _text(200, "alive\n")

    @app.get("/readyz")
    async def readyz() -> Response:
        service = service_of(app)
        state = {"redis": service.redis_answers, "spooled": service.spooled}
        ready = service.has_met_redis and not service.draining
        return _json(200 if ready else 503, state if ready else {**state, "draining": service.draining})

    @app.get("/robots.txt")
    async def robots() -> Response:
        return _text(200, "User-agent: *\nDisallow: /\n", cache=_LONG)

    @app.get("/favicon.ico")
    @app.get("/apple-touch-icon.png")
    @app.get("/apple-touch-icon-precomposed.png")
    async def icon() -> Response:
        """None of ours: the pages under a domain are its owner's. Cached, so that browsers stop asking."""
        return Bare(b"", 204, {"cache-control": _LONG})

    script = _SCRIPT.read_bytes()

    @app.get("/rastro.js")
    async def rastro_js() -> Response:
        """For pages of whatever origin; that is what it is for."""
        headers = {
            "content-type": "text/javascript; charset=utf-8",
            "cache-control": "public, max-age=3600",
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "cross-origin",
            "access-control-allow-origin": "*",
        }
        return Bare(script, 200, headers)

    async def received(hit: Hit) -> Response:
        began = perf_counter()
        answer = await service_of(app).receiver.receive(hit)
        POSTBACK_SECONDS.observe(perf_counter() - began)
        return _response(answer)

    @app.route(f"{_POSTBACK}<token>", methods=["GET", "POST"])
    async def postback(token: str) -> Response:
        body = await request.get_data(cache=False, as_text=False, parse_form_data=False)
        return await received(_hit(settings, token, is_pixel=False, body=body))

    @app.get("/pixel/<token>.gif")
    async def pixel(token: str) -> Response:
        return await received(_hit(settings, token, is_pixel=True))

    @app.get("/")
    @app.get("/<path:slug>")
    async def redirect(slug: str = "") -> Response:
        return _response(await service_of(app).redirector.redirect(_visit(settings)))

    @app.post("/<path:slug>")
    async def open_link(slug: str) -> Response:
        opener = service_of(app).opener
        answer = None if slug in OWN_PATHS else await opener.open(_visit(settings), _password)
        if answer is None:
            raise MethodNotAllowed(("GET", "HEAD", "OPTIONS"))
        return _response(answer)

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        response = _text(error.code or 500, f"{error.name}\n")
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers["allow"] = value
        return response

    @app.after_request
    async def close_when_draining(response: Response) -> Response:
        if service_of(app).draining and request.http_version.startswith("1"):
            response.headers["connection"] = "close"
        return response

    return app


def service_of(app: Quart) -> Service:
    """The running service of a started app. Raises KeyError before its start-up."""
    return cast(Service, app.extensions[_EXTENSION])


def _origin_form(asgi: Asgi) -> Asgi:
    """Quart looks at a path's first character; `GET http://host/slug` and `GET ?x` have none that it can take.

    The redirect route reads the target as it was sent, whatever stands here.
    """

    async def call(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/"):
            scope = {**scope, "path": "/"}
        await asgi(scope, receive, send)

    return call


def _visit(settings: Settings) -> Visit:
    scope = cast(dict[str, Any], request.scope)
    return read_visit(
        method=request.method,
        target=scope["raw_path"],
        query=scope["query_string"],
        headers=scope["headers"],
        peer=(scope.get("client") or ("",))[0],
        proxies=settings.trusted_proxies,
    )


def _hit(settings: Settings, token: str, *, is_pixel: bool, body: bytes = b"") -> Hit:
    scope = cast(dict[str, Any], request.scope)
    return read_hit(
        token,
        is_pixel=is_pixel,
        method=request.method,
        target=scope["raw_path"],
        query=scope["query_string"],
        headers=scope["headers"],
        peer=(scope.get("client") or ("",))[0],
        proxies=settings.trusted_proxies,
        body=body,
        skipped=request.body.size - len(body) if isinstance(request.body, Posted) else 0,
    )


async def _password() -> str:
    """The password in the request's body, and nowhere else."""
    if request.mimetype != _FORM:
        raise UnsupportedMediaType
    return password_in(await request.get_data(cache=False, as_text=False, parse_form_data=False))


def _response(answer: Answer) -> Response:
    return Bare(answer.body, answer.status, Headers(answer.headers))


def _text(status: int, text: str, *, cache: str = "no-store") -> Response:
    headers = {"content-type": "text/plain; charset=utf-8", "cache-control": cache}
    return Bare(text.encode("utf-8"), status, headers)


def _json(status: int, value: dict[str, bool | int]) -> Response:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return Bare(json.dumps(value).encode("utf-8"), status, headers)
