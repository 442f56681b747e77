"""HTMX: one view gives the page and its fragments, and both say that they differ."""

from flask import Response, make_response, redirect, render_template, request
from jinja2_fragments.flask import render_block

from admin_flask.toasts import waiting_toasts


def is_htmx() -> bool:
    """True when HTMX asks for a fragment. A restored history entry or a boosted link wants the whole page."""
    headers = request.headers
    return headers.get("HX-Request") == "true" and not (
        headers.get("HX-Boosted") == "true" or headers.get("HX-History-Restore-Request") == "true"
    )


def page_or_block(template: str, block: str, *, status: int = 200, **values: object) -> Response:
    """The whole page, or for HTMX only its `block` (and toasts that wait). A failed form is status 422.

    Toasts stand in a template: behind a row of a table the browser's parser would tear their forms apart.
    """
    if is_htmx():
        text = render_block(template, block, **values)
        if waiting_toasts():
            text += f"<template>{render_template('_toasts.html', swap=True)}</template>"
    else:
        text = render_template(template, **values)
    response = make_response(text, status)
    response.vary.add("HX-Request")
    return response


def hx_redirect(url: str) -> Response:
    """Go to `url` after something was done: 303, or HX-Redirect (a full load) when HTMX asked."""
    if not is_htmx():
        return make_response(redirect(url, 303))
    response = make_response("", 204)
    response.headers["HX-Redirect"] = url
    response.vary.add("HX-Request")
    return response


def hx_whole_page(text: str, status: int) -> Response:
    """A page that must replace everything, also when HTMX asked for a piece: sign-in, errors."""
    response = make_response(text, status)
    if is_htmx():
        response.headers["HX-Retarget"] = "body"
        response.headers["HX-Reswap"] = "innerHTML"
        response.headers["HX-Push-Url"] = "false"
    response.vary.add("HX-Request")
    return response
