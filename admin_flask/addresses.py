"""Addresses of our own pages and files: static files with their hash, the same page with another filter."""

import hashlib
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from flask import request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.urls import iri_to_uri

STATIC = Path(__file__).resolve().parent.parent / "static"
TEMPLATES = STATIC.parent / "templates"


def static_url(name: str) -> str:
    """Address of a file of `static/` with a hash of its bytes, so that browsers may keep it for a year."""
    return f"{url_for('static', filename=name)}?v={_hash(name)}"


def url_with(**changes: object) -> str:
    """This page's address with some query values changed; None takes one away. Paging starts anew unless `page` is
    among the changes, since page 7 of another filter is nothing."""
    query: MultiDict[str, str] = request.args.copy()
    if "page" not in changes:
        query.pop("page", None)
    for name, value in changes.items():
        query.poplist(name)
        if value is not None:
            query[name] = str(value)
    path = url_for(request.endpoint or "", **(request.view_args or {}))
    return f"{path}?{urlencode(list(query.items(multi=True)))}" if query else path


def local_path(text: str | None) -> str | None:
    """`text` when it is a path of this site (with its query), else None: `next` must never lead elsewhere."""
    if not text or len(text) > 2000 or not text.startswith("/") or text.startswith(("//", "/\\")):
        return None
    if any(ord(char) < 32 or char == "\\" for char in text):
        return None
    parts = urlsplit(text)
    if parts.scheme or parts.netloc:
        return None
    return iri_to_uri(text)


def came_from() -> str:
    """The page of ours whose button was pressed; the first page where the browser does not say."""
    origin = request.host_url.rstrip("/")
    source = request.headers.get("HX-Current-URL") or request.referrer or ""
    path = source.removeprefix(origin) if source.startswith(origin + "/") else None
    return local_path(path) or url_for("start")


@lru_cache(maxsize=256)
def _hash(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
