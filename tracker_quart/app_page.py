"""The page that tries an app on iOS and goes on to the destination: a redirect to an app that is not there would end in
an error. With a script, whose hash its policy names; the one page that has one."""

from dataclasses import dataclass

from markupsafe import Markup, escape

from tracker_quart.answers import Answer
from tracker_quart.pages import TEMPLATES, chosen_language, environment, page_headers

_BRAND, _APP, _WEB = "\ufffc", "\ufdd0", "\ufdd1"
"""What stands in a page for what a visit puts in: no address and no name has these characters."""


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    text: str
    button: str
    web: str


_WORDS = {
    "en": _Words(
        "Opening the app",
        "If nothing happens, choose how to go on.",
        "Open in the app",
        "Continue on the web",
    ),
    "pt": _Words(
        "Abrindo o app",
        "Se nada acontecer, escolha como continuar.",
        "Abrir no app",
        "Continuar na web",
    ),
}


class AppPage:
    """Made once, when the tracker starts; a visit only puts its addresses in."""

    def __init__(self) -> None:
        style, script = (
            (TEMPLATES / name).read_text(encoding="utf-8").strip() for name in ("style.css", "app.js")
        )
        self._headers = page_headers(style, script=script)
        template = environment().get_template("app.html")
        self._bodies = {
            (language, branded): template.render(
                language={"en": "en", "pt": "pt-BR"}[language],
                words=words,
                style=Markup(style),  # noqa: S704 (ours, and quotes must stay what the hash says)
                script=Markup(script),  # noqa: S704
                brand=_BRAND if branded else "",
                app_url=_APP,
                web_url=_WEB,
            )
            for language, words in _WORDS.items()
            for branded in (True, False)
        }

    def answer(self, *, app_url: str, web_url: str, accept_language: str, brand: str) -> Answer:
        """The page for these addresses, in the visitor's language, under `brand` where there is one."""
        text = self._bodies[chosen_language(accept_language), bool(brand)]
        for mark, value in ((_BRAND, brand), (_APP, app_url), (_WEB, web_url)):
            text = text.replace(mark, str(escape(value)))
        body = text.encode("utf-8")
        return Answer(200, (*self._headers, ("content-length", str(len(body)))), body)
