"""The pages that visitors read instead of a redirect: in their language, under the domain's own name.

Made once, when the tracker starts; a request only puts the name in.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tracker_quart.answers import Answer

NOT_FOUND, PAUSED, GONE, UNAVAILABLE, WRONG_HOST = "not_found", "paused", "gone", "unavailable", "wrong_host"
SCHEDULED, EXPIRED, CAPPED = "scheduled", "expired", "capped"
LOCKED, WRONG_PASSWORD = "locked", "wrong_password"
TOO_MANY, BUSY, UNCHECKED = "too_many", "busy", "unchecked"
"""Pages in place of a password's check: too many wrong ones, too many people at once, no Redis to count them."""

RETRY_AFTER_S = {UNAVAILABLE: 5, UNCHECKED: 5, BUSY: 2, TOO_MANY: 60}

TEMPLATES = Path(__file__).resolve().parents[1] / "templates" / "visitor"
_BRAND = "\N{OBJECT REPLACEMENT CHARACTER}"
_STATUS = {
    NOT_FOUND: 404,
    PAUSED: 404,
    GONE: 410,
    SCHEDULED: 404,
    EXPIRED: 410,
    CAPPED: 410,
    UNAVAILABLE: 503,
    WRONG_HOST: 421,
    LOCKED: 423,
    WRONG_PASSWORD: 423,
    TOO_MANY: 429,
    BUSY: 429,
    UNCHECKED: 503,
}


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    text: str
    button: str = ""
    label: str = ""
    """Of the field for a password; only pages with one have a form."""
    wrong: str = ""


_ENGLISH = {
    NOT_FOUND: _Words(
        "No link at this address", "Check the address for a typing error, or ask whoever sent it to you."
    ),
    PAUSED: _Words("Not available right now", "This link is paused. It may work again later."),
    GONE: _Words("This link has ended", "It was taken down and does not lead anywhere any more."),
    SCHEDULED: _Words("Not open yet", "This link opens later. Try it again then."),
    EXPIRED: _Words("This link has ended", "It worked for a certain time, which is over."),
    CAPPED: _Words(
        "This link has reached its limit",
        "It was made for a certain number of visits, and all of them are taken.",
    ),
    UNAVAILABLE: _Words(
        "Try again in a moment",
        "We can not look this link up right now. Nothing is wrong with your link.",
        "Try again",
    ),
    WRONG_HOST: _Words(
        "No links live here", "This server answers for other names. Check the address for a typing error."
    ),
    LOCKED: _Words(
        "This link asks for a password", "Whoever sent it to you has the password.", "Open", label="Password"
    ),
    WRONG_PASSWORD: _Words(
        "This link asks for a password",
        "Whoever sent it to you has the password.",
        "Open",
        label="Password",
        wrong="That is not the password.",
    ),
    TOO_MANY: _Words(
        "Too many tries", "Wait a minute, then try the password once more.", "Back to the password"
    ),
    BUSY: _Words(
        "Try again in a moment", "Many people are opening links with a password right now.", "Try again"
    ),
    UNCHECKED: _Words(
        "Try again in a moment",
        "We can not check passwords right now. Nothing is wrong with your link.",
        "Try again",
    ),
}
_PORTUGUESE = {
    NOT_FOUND: _Words(
        "Não há link neste endereço", "Confira se o endereço foi digitado certo, ou pergunte a quem o enviou."
    ),
    PAUSED: _Words("Indisponível no momento", "Este link está pausado. Pode voltar a funcionar mais tarde."),
    GONE: _Words("Este link terminou", "Ele foi retirado do ar e não leva mais a lugar nenhum."),
    SCHEDULED: _Words("Ainda não abriu", "Este link abre mais tarde. Tente de novo depois."),
    EXPIRED: _Words("Este link terminou", "Ele valia por um período, que já passou."),
    CAPPED: _Words(
        "Este link atingiu o limite", "Ele foi feito para um certo número de visitas, e todas já aconteceram."
    ),
    UNAVAILABLE: _Words(
        "Tente de novo em instantes",
        "Não conseguimos consultar este link agora. Não há nada de errado com o seu link.",
        "Tentar de novo",
    ),
    WRONG_HOST: _Words(
        "Não há links aqui",
        "Este servidor responde por outros nomes. Confira se o endereço foi digitado certo.",
    ),
    LOCKED: _Words("Este link pede uma senha", "Quem enviou o link tem a senha.", "Abrir", label="Senha"),
    WRONG_PASSWORD: _Words(
        "Este link pede uma senha",
        "Quem enviou o link tem a senha.",
        "Abrir",
        label="Senha",
        wrong="A senha não é essa.",
    ),
    TOO_MANY: _Words(
        "Tentativas demais", "Espere um minuto e digite a senha mais uma vez.", "Voltar para a senha"
    ),
    BUSY: _Words(
        "Tente de novo em instantes", "Muita gente está abrindo links com senha agora.", "Tentar de novo"
    ),
    UNCHECKED: _Words(
        "Tente de novo em instantes",
        "Não conseguimos conferir senhas agora. Não há nada de errado com o seu link.",
        "Tentar de novo",
    ),
}
_LANGUAGES = {"en": _ENGLISH, "pt": _PORTUGUESE}


class Pages:
    """Every visitor page, ready to send."""

    def __init__(self) -> None:
        style = (TEMPLATES / "style.css").read_text(encoding="utf-8").strip()
        self._headers = page_headers(style)
        # Chromium holds the redirect after a form against form-action too, and it may lead to any site.
        self._form_headers = page_headers(style, form_action="http: https:")
        templates = environment()
        page, form = templates.get_template("page.html"), templates.get_template("password.html")
        self._bodies: dict[tuple[str, str, bool], str] = {}
        for language, words_of in _LANGUAGES.items():
            for kind, words in words_of.items():
                for branded in (True, False):
                    self._bodies[kind, language, branded] = (form if words.label else page).render(
                        language={"en": "en", "pt": "pt-BR"}[language],
                        words=words,
                        style=Markup(style),  # noqa: S704 (ours, and quotes must stay what the hash says)
                        brand=_BRAND if branded else "",
                    )

    def answer(self, kind: str, *, accept_language: str, brand: str = "") -> Answer:
        """The page of a kind, in the visitor's language, under `brand` where there is one."""
        text = self._bodies[kind, chosen_language(accept_language), bool(brand)]
        body = (text.replace(_BRAND, str(escape(brand))) if brand else text).encode("utf-8")
        kinds_own = self._form_headers if kind in (LOCKED, WRONG_PASSWORD) else self._headers
        headers = [*kinds_own, ("content-length", str(len(body)))]
        if kind in RETRY_AFTER_S:
            headers.append(("retry-after", str(RETRY_AFTER_S[kind])))
        return Answer(_STATUS[kind], tuple(headers), body)


def environment() -> Environment:
    """Where the templates of visitor pages come from."""
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)


def page_headers(style: str, *, script: str = "", form_action: str = "'none'") -> tuple[tuple[str, str], ...]:
    """The headers of a page with this style, and this script where there is one; nothing else may run or load."""
    scripts = f"script-src '{_digest(script)}'; " if script else ""
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; {scripts}img-src 'self'; "
        f"base-uri 'none'; frame-ancestors 'none'; form-action {form_action}"
    )
    return (
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "private, no-store"),
        ("x-robots-tag", "noindex"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("vary", "accept-language"),
        ("content-security-policy", policy),
    )


def chosen_language(accept_language: str) -> str:
    """ "pt" or "en": whichever an Accept-Language header prefers, English when it names neither."""
    best, best_weight = "en", 0.0
    for part in accept_language.lower().split(","):
        tag, _, parameters = part.partition(";")
        language = tag.strip().partition("-")[0]
        if language in _LANGUAGES and (weight := _weight(parameters)) > best_weight:
            best, best_weight = language, weight
    return best


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(float(value), 1.0)
    except ValueError:
        return 0.0
