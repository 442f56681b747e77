"""What several of the sources' views need: the source at an address, and the page that shows its token."""

from flask import Response, abort, make_response, render_template

from admin_flask.access import acting
from admin_flask.held import db, held, moment
from admin_flask.sources.snippets import curl_of, snippets_of
from core.db.conversions import ConversionSource
from core.domain.presets import preset_of
from core.domain.sources import settings_of
from core.services import conversion_sources as service
from core.services.source_tests import start_test


def found(source_id: int) -> ConversionSource:
    """The source at an address; no page where there is none."""
    try:
        return service.get_source(db.session(), source_id=source_id)
    except service.SourceNotFound:
        abort(404)


def token_page(made: service.Made, *, is_new: bool) -> Response:
    """The one page that shows a token. It is an answer to a POST: to load it again shows it no more. A live test is
    begun with it, so that the line for a terminal counts nowhere and can be watched."""
    preset, settings = preset_of(made.source.preset), settings_of(made.source.settings)
    test = start_test(db.session(), source_id=made.source.id, actor=acting(), now=moment())
    base = service.tracker_base(db.session(), held().settings)
    ends = [token.expires_at for token in made.source.tokens if token.expires_at]
    return make_response(
        render_template(
            "sources/token.html",
            source=made.source,
            preset=preset,
            snippets=snippets_of(base, made.token, preset, settings),
            curl=curl_of(
                base,
                made.token,
                preset,
                settings,
                click_id=str(test),
                signed=bool(made.source.signature_keys),
            ),
            test=test,
            is_new=is_new,
            old_until=max((at for at in ends if at > moment()), default=None),
        )
    )
