"""Browsers that somebody signed in at before. Wrong passwords that others type for an account must not lock its person
out, so such a browser has tries of its own."""

import hashlib
import secrets

from flask import Response, current_app, request
from itsdangerous import BadData, URLSafeSerializer

_COOKIE = "rastro_known"
_KEEP_S = 180 * 24 * 3600


def counted_under(email: str) -> str:
    """What wrong passwords for `email` are counted under: the account, or the account at this browser alone."""
    account = _digest(email)
    try:
        known, mark = _signer().loads(request.cookies.get(_COOKIE, ""))
    except (BadData, ValueError, TypeError):
        known, mark = "", ""
    return f"known:{account}:{mark}" if known == account else f"account:{account}"


def know_browser(response: Response, email: str) -> None:
    """Let the browser show later that whoever has this account signed in at it."""
    response.set_cookie(
        _COOKIE,
        _signer().dumps([_digest(email), secrets.token_urlsafe(9)]),
        max_age=_KEEP_S,
        path="/login",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def _digest(email: str) -> str:
    return hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()[:32]


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key or "", salt="known-browser")
