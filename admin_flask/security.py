"""What guards every page: the host it is asked at, sign-in by default, CSRF, and the headers of an answer."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, redirect, request, url_for
from flask_login import current_user

from admin_flask.access import is_open
from admin_flask.addresses import came_from
from admin_flask.auth.door import sign_in_again
from admin_flask.held import held
from admin_flask.htmx import is_htmx

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_PROBES = ("/livez", "/readyz")
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class TrueScheme:
    """WSGI: requests have the scheme people use (that of ADMIN_URL), also behind a proxy that ends TLS."""

    def __init__(self, inner: "WSGIApplication", scheme: str) -> None:
        self._inner = inner
        self._scheme = scheme

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["wsgi.url_scheme"] = self._scheme
        return self._inner(environ, start_response)


def register(app: Flask) -> None:
    """Guard every request of `app`. Must come before extensions, so that sign-in is asked before CSRF."""
    app.before_request(_check_host)
    app.before_request(_refuse_other_sites)
    app.before_request(_ask_to_sign_in)
    app.after_request(_put_headers)


def static_headers(headers: Any, path: str, url: str) -> None:
    """Headers of static files; an SVG that is opened alone runs nothing."""
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


def _check_host() -> Response | None:
    if request.path in _PROBES or request.host.lower() in _hosts():
        return None
    response = current_app.make_response(("This address is not served here. See ADMIN_URL.\n", 400))
    response.mimetype = "text/plain"
    return response


def _hosts() -> frozenset[str]:
    url = urlsplit(held().settings.admin_url)
    if url.hostname not in ("localhost", "127.0.0.1", "::1"):
        return frozenset((url.netloc.rpartition("@")[2].lower(),))
    port = f":{url.port}" if url.port else ""
    return frozenset(name + port for name in _LOOPBACK)


def _refuse_other_sites() -> None:
    """A form on another site gets no further, so that what it sends is never offered to our people as theirs."""
    if request.method not in _UNSAFE:
        return
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != request.host_url.rstrip("/").lower():
        abort(403)
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        abort(403)


def _ask_to_sign_in() -> Response | None:
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None or is_open(request.endpoint, view) or current_user.is_authenticated:
        return None
    if request.method in _UNSAFE:
        return sign_in_again()
    here = request.full_path.rstrip("?")
    if not is_htmx():
        return current_app.make_response(redirect(url_for("auth.login", next=here), 303))
    response = current_app.make_response(("", 204))
    response.headers["HX-Redirect"] = url_for("auth.login", next=came_from())
    return response


def _put_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CSP)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    headers.setdefault("Cache-Control", "no-store")
    if request.scheme == "https":
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
