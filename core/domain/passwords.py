"""What a password must be: long enough, and not the first that anyone would try. Kinds of letters do not count."""

import re
import unicodedata
from collections.abc import Iterable

SHORTEST, LONGEST = 8, 1000

_WORDS = """
abcdef access admin adminadmin administrator alexander amanda america amor andrea android angel apple arsenal
asdf asdfasdf asdfgh azerty babygirl bailey barcelona baseball basketball batman beatriz beautiful benfica
blessed brasil brazil bruno butterfly camila carlos carolina cassio changeme charlie chelsea chocolate
computador computer contrasena cookie corinthians cruzeiro daniel default demo diamond dragon eduarda eduardo
estrela facebook familia family felicidade felipe fernanda fernando flamengo flower football forever freedom
friends futebol gabriel gabriela george ginger giovanna google gostosa gremio guest guilherme gustavo hannah
harley hello henrique hunter iloveyou inter internet isabela jaguar jasmine jennifer jessica jesus jesuscristo
joao jordan joshua juliana justin killer lakers leandro leonardo letmein liverpool login lorena lovely loveme
lucas maggie manchester marcelo marcos maria mariana marina master matheus matrix matthew meuamor michael
michelle microsoft minecraft mirela monkey mudar mudar123 mustang myspace naruto natalia nicole ninja nintendo
oliveira orange pass passwd password passwort patricia paulo pedro pepper pikachu playstation pokemon portugal
postgres princesa princess qazwsx qwer qwert qwerty qwertyuiop rafael rafaela rangers raquel redis ricardo
robert roberto rodrigo root samsung samuel sandra santos saopaulo secret segredo senha senhas service shadow
silver snoopy soccer sophie sporting starwars steelers summer sunshine superman support teamo teamomuito
tequiero test teste tester testing thiago thomas tigger trustno user username usuario vanessa vasco vitoria
welcome whatever william winter xbox yankees yellow zaq zxcvbn zxcvbnm
"""
_BASES = frozenset(_WORDS.split())
"""Words that common passwords are made of; figures and signs around them help nobody."""

_WALKS = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1q2w3e4r5t6y7u8i9o0p",
    "qazwsxedcrfvtgbyhnujmikolp",
)
_MEANT = str.maketrans("0134578@$!", "oieastbasi")
_FILLING = 8


class WeakPassword(Exception):
    """A password can not be taken; the text says what to do."""


def check_password(password: str, *, own_words: Iterable[str] = ()) -> None:
    """Raise WeakPassword unless 8 to 1,000 characters that are no common password.

    `own_words` (e-mail, name of the person and the organisation) must not be all there is to it.
    """
    if len(password) < SHORTEST:
        raise WeakPassword(f"At least {SHORTEST} characters; a few words together are good.")
    if len(password) > LONGEST:
        raise WeakPassword(f"At most {LONGEST:,} characters.")
    plain = unicodedata.normalize("NFKC", password).casefold()
    if len(set(plain)) < 4 or _repeats(plain) or _walks(plain):
        raise WeakPassword("This is a pattern that is tried first. A few words together are good.")
    own = {part for word in own_words for part in _parts(word)}
    inner = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain)
    for meant in (plain, inner, inner.translate(_MEANT)):
        word = re.sub(r"[\W\d_]+", "", meant)
        if len(plain) - len(word) > _FILLING:
            continue
        if word in _BASES or _halves(word):
            raise WeakPassword(
                "This is among the passwords that are tried first. A few words together are good."
            )
        if word in own:
            raise WeakPassword(
                "Your name, e-mail or organisation is easy to guess. A few words together are good."
            )


def _parts(text: str) -> set[str]:
    """The text as one word, and its words."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = {word for word in re.split(r"[\W\d_]+", folded) if len(word) > 2}
    return words | {re.sub(r"[\W\d_]+", "", folded), re.sub(r"[\W\d_]+", "", folded.partition("@")[0])}


def _repeats(text: str) -> bool:
    """One piece of up to four characters, again and again."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, 5))


def _walks(text: str) -> bool:
    """A way along the keyboard, the alphabet or the figures, forward or back."""
    return any(text in walk * 2 or text[::-1] in walk * 2 for walk in _WALKS)


def _halves(word: str) -> bool:
    """A common word twice: passwordpassword."""
    half = len(word) // 2
    return len(word) % 2 == 0 and word[:half] == word[half:] and word[:half] in _BASES
