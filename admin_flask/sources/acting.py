"""One press, one deed: switch a source off and on, replace its URL, its signing keys, remove it."""

from datetime import timedelta

from flask import Response, abort, make_response, redirect, url_for
from flask_babel import gettext

from admin_flask.access import acting, needs
from admin_flask.held import db, held, moment
from admin_flask.sources.blueprint import blueprint
from admin_flask.sources.forms import KeyForm, RotateForm
from admin_flask.sources.shown import found, token_page
from admin_flask.toasts import say
from core.services import conversion_sources as service


@blueprint.post("/sources/<row:source_id>/<any(on, off):state>")
@needs("sources.edit")
def switch(source_id: int, state: str) -> Response:
    """Take its postbacks, or no more."""
    row = service.switch_source(
        db.session(),
        source_id=found(source_id).id,
        active=state == "on",
        actor=acting(),
        now=moment(),
        redis=held().redis,
    )
    other = "off" if row.is_active else "on"
    say(
        gettext("“%(name)s” is taken again.", name=row.name)
        if row.is_active
        else gettext("“%(name)s” is switched off: its postbacks are refused.", name=row.name),
        undo=url_for("sources.switch", source_id=source_id, state=other),
    )
    return _back(source_id)


@blueprint.post("/sources/<row:source_id>/rotate")
@needs("sources.edit")
def rotate(source_id: int) -> Response:
    """Another URL, shown in the answer; the one before works on for as long as was asked for."""
    found(source_id)
    form = RotateForm()
    seen = form.seen.data or ""
    if not form.validate() or form.hours.data is None:
        say(gettext("Type a number of hours. Nothing was done."), tone="bad")
        return _back(source_id)
    try:
        made = service.rotate_token(
            db.session(),
            source_id=source_id,
            actor=acting(),
            now=moment(),
            overlap=timedelta(hours=max(min(form.hours.data, 1_000_000), -1)),
            seen=int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 19 else None,
            redis=held().redis,
        )
    except service.SourceRefused as refused:
        say(refused.message, tone="bad")
        return _back(source_id)
    return token_page(made, is_new=False)


@blueprint.post("/sources/<row:source_id>/end-old")
@needs("sources.edit")
def end_old(source_id: int) -> Response:
    """The URL before works no more."""
    found(source_id)
    service.end_old_tokens(
        db.session(), source_id=source_id, actor=acting(), now=moment(), redis=held().redis
    )
    say(gettext("Only the newest URL works now."))
    return _back(source_id)


@blueprint.post("/sources/<row:source_id>/key")
@needs("sources.edit")
def put_key(source_id: int) -> Response:
    """Another signing key; the one before is taken until it is ended."""
    found(source_id)
    try:
        service.put_key(
            db.session(),
            source_id=source_id,
            key=KeyForm().secret.data or "",
            actor=acting(),
            now=moment(),
            redis=held().redis,
        )
    except service.SourceRefused as refused:
        say(refused.message, tone="bad")
    else:
        say(gettext("The key is saved. It is not shown again."))
    return _back(source_id)


@blueprint.post("/sources/<row:source_id>/key/<any(old, all):which>/remove")
@needs("sources.edit")
def remove_key(source_id: int, which: str) -> Response:
    """The key before, or all of them, sign nothing any more."""
    found(source_id)
    verb = service.drop_old_keys if which == "old" else service.remove_keys
    verb(db.session(), source_id=source_id, actor=acting(), now=moment(), redis=held().redis)
    say(
        gettext("Only the newest key is taken now.")
        if which == "old"
        else gettext("Signatures are not checked any more.")
    )
    return _back(source_id)


@blueprint.post("/sources/<row:source_id>/delete")
@needs("sources.edit")
def delete(source_id: int) -> Response:
    """Remove a source that no conversion came from."""
    name = found(source_id).name
    try:
        service.delete_source(
            db.session(), source_id=source_id, actor=acting(), now=moment(), redis=held().redis
        )
    except service.SourceInUse:
        say(gettext("“%(name)s” has conversions, so it stays. Switch it off instead.", name=name), tone="bad")
        return _back(source_id)
    except service.SourceNotFound:
        abort(404)
    say(gettext("“%(name)s” is removed.", name=name))
    return make_response(redirect(url_for("sources.index"), 303))


def _back(source_id: int) -> Response:
    return make_response(redirect(url_for("sources.show", source_id=source_id), 303))
