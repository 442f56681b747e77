"""Passwords: what is tried first is refused, what is long or random is taken."""

import secrets

import pytest

from core.domain.passwords import WeakPassword, check_password

OWN = ("ana.souza@example.com", "Ana Souza", "Padaria Estrela Azul")


@pytest.mark.parametrize(
    "password",
    [
        "",
        "1234567",
        "12345678",
        "87654321",
        "0123456789",
        "password",
        "Password1!",
        "P@ssw0rd",
        "p455w0rd2026",
        "passwordpassword",
        "Senha123",
        "senha@2026",
        "mudar123",
        "flamengo1981",
        "Admin2026!",
        "qwertyuiop",
        "asdfghjkl",
        "1q2w3e4r",
        "1qaz2wsx",
        "aaaaaaaa",
        "abababab",
        "abcabcabc",
        "abcdefgh",
        "iloveyou",
        "Ana.Souza2026",
        "anasouza",
        "PadariaEstrelaAzul1",
        "padaria123",
        "x" * 1001,
    ],
)
def test_it_refuses_what_is_tried_first(password: str) -> None:
    with pytest.raises(WeakPassword):
        check_password(password, own_words=OWN)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "mesa-verde-sapato",
        "kx7#mQ2z",
        "senha do portão azul",
        "日本語のパスワードです",
        "padaria da esquina às 7",
        "lentilha 12345678",
        "x7" * 30 + "end",
        "k" * 40 + "abcdef ghi" * 90,
    ],
)
def test_it_takes_what_is_long_or_odd(password: str) -> None:
    check_password(password, own_words=OWN)


def test_it_takes_what_a_machine_makes() -> None:
    for _ in range(300):
        check_password(secrets.token_urlsafe(12), own_words=("admin@localhost", "Admin", "Rastro"))
