"""Slugs, their keys, and destinations: tables of what people type, and rules that hold for any text."""

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.urls import (
    LONGEST_DESTINATION,
    DestinationRefused,
    SlugRefused,
    ascii_url,
    check_destination,
    check_slug,
    host_of,
    new_slug,
    slug_key,
)

OWN = ("go.example.com", "127.0.0.1:8080", "xn--caf-dma.example")

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)


@given(texts, st.booleans())
def test_it_gives_the_same_key_for_a_key(text: str, case_sensitive: bool) -> None:
    key = slug_key(text, case_sensitive=case_sensitive)
    assert slug_key(key, case_sensitive=case_sensitive) == key


@given(texts, st.booleans())
def test_it_gives_one_key_for_composed_and_decomposed_text(text: str, case_sensitive: bool) -> None:
    composed = slug_key(unicodedata.normalize("NFC", text), case_sensitive=case_sensitive)
    assert slug_key(unicodedata.normalize("NFD", text), case_sensitive=case_sensitive) == composed


@pytest.mark.parametrize(
    ("slug", "folded", "exact"),
    [
        ("bf-tv", "bf-tv", "bf-tv"),
        ("BF-TV", "bf-tv", "BF-TV"),
        ("Verão", "verão", "Verão"),
        ("Vera\u0303o", "verão", "Verão"),
        ("STRASSE", "strasse", "STRASSE"),
        ("straße", "strasse", "straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ", "ΣΊΣΥΦΟΣ"),
        ("", "", ""),
    ],
)
def test_it_folds_case_only_where_the_domain_does(slug: str, folded: str, exact: str) -> None:
    assert slug_key(slug, case_sensitive=False) == folded
    assert slug_key(slug, case_sensitive=True) == exact


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("bf-tv", "bf-tv"),
        ("  BF_tv-2 ", "BF_tv-2"),
        ("7", "7"),
        ("x" * 64, "x" * 64),
        ("promoção", "promoção"),
        ("promoc\u0327a\u0303o", "promoção"),
        ("秋のセール", "秋のセール"),
        ("हिन्दी", "हिन्दी"),
        ("robots", "robots"),
        ("api2", "api2"),
        ("-", "-"),
    ],
)
def test_it_takes_slugs_of_any_script(typed: str, kept: str) -> None:
    assert check_slug(typed) == kept


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "empty"),
        (" \t", "empty"),
        ("x" * 65, "too_long"),
        ("a b", "characters"),
        ("a/b", "characters"),
        ("/bf", "characters"),
        ("a.b", "characters"),
        ("a%20b", "characters"),
        ("a\x00b", "characters"),
        ("a\r\nb", "characters"),
        ("a\u200bb", "characters"),
        ("a\ufe0fb", "characters"),
        ("ㅤ", "characters"),
        ("\u0301a", "characters"),
        ("ｂｆ", "characters"),
        ("①", "characters"),
        ("🔥", "characters"),
        ("<script>", "characters"),
        ("robots.txt", "reserved"),
        ("Robots.TXT", "reserved"),
        ("favicon.ico", "reserved"),
        (".well-known", "reserved"),
        (".well-known/acme", "reserved"),
        ("LIVEZ", "reserved"),
        ("readyz", "reserved"),
        ("Api", "reserved"),
        ("postback", "reserved"),
        ("pixel", "reserved"),
        ("Postback", "reserved"),
        ("Rastro.js", "reserved"),
        ("metrics", "reserved"),
    ],
)
def test_it_refuses_a_slug_with_its_reason(typed: str, reason: str) -> None:
    with pytest.raises(SlugRefused) as refused:
        check_slug(typed)
    assert refused.value.reason == reason
    assert refused.value.message.endswith(".")


@given(texts)
def test_it_keeps_a_slug_that_it_took(text: str) -> None:
    try:
        slug = check_slug(text)
    except SlugRefused:
        return
    assert check_slug(slug) == slug
    assert 1 <= len(slug) <= 64


@given(st.integers())
def test_it_makes_slugs_that_it_takes_itself(seed: int) -> None:
    slug = new_slug(random.Random(seed))
    assert check_slug(slug) == slug
    assert len(slug) == 7
    assert slug_key(slug, case_sensitive=False) == slug
    assert not set(slug) & set("il1o0")


@pytest.mark.parametrize(
    "rude", ["abcsexd", "ab5excd", "fuckabc", "fu2ckab", "xputa23", "xpu7423", "b8unda2"]
)
def test_it_draws_again_for_a_rude_slug(rude: str) -> None:
    drawn = iter(rude + "defgh23")

    class Drawn(random.Random):
        def choice(self, seq: object) -> str:  # type: ignore[override]
            return next(drawn)

    assert new_slug(Drawn()) == "defgh23"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com/a?b=c&d=%20#e",
        "HTTPS://Example.COM/Path",
        "https://example.com:8443/x",
        "https://example.com?x=1",
        "https://example.com#@evil.example",
        "https://example.com/a@b",
        "https://example.com/?next=http://u:p@h/",
        "https://bücher.example/ä?ö=ü#ß",
        "https://xn--bcher-kva.example/",
        "http://192.0.2.1/x",
        "http://[2001:db8::1]:8080/x",
        "http://localhost:9000/",
        "http://127.0.0.1:9000/page",
        "https://example.com./",
        "https://my_bucket.s3.example.com/",
        "https://example.com/{clickid}?a=[1]|'\"<>",
        "https://notgo.example.com/",
        "https://go.example.com.evil.example/",
        "https://example.com/" + "x" * (LONGEST_DESTINATION - 20),
    ],
)
def test_it_keeps_a_destination_as_typed(url: str) -> None:
    assert check_destination(f" {url}\n", own_hosts=OWN) == url
    assert ascii_url(url).isascii()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("javascript:alert(1)", "scheme"),
        ("JavaScript://example.com/%0aalert(1)", "scheme"),
        ("data:text/html,<script>", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("mailto:a@example.com", "scheme"),
        ("//evil.example", "no_scheme"),
        ("example.com/x", "no_scheme"),
        ("/path", "no_scheme"),
        ("http:example.com", "no_host"),
        ("http:/example.com", "no_host"),
        ("https:///example.com", "no_host"),
        ("https://", "no_host"),
        ("https://?x", "no_host"),
        ("https://:80/", "no_host"),
        ("http://u:p@example.com", "user_info"),
        ("http://u@example.com/", "user_info"),
        ("https://example.com@evil.example/", "user_info"),
        ("https://exa mple.com", "characters"),
        ("https://example.com/a b", "characters"),
        ("https://exam\tple.com", "characters"),
        ("https://example.com/\r\nSet-Cookie: a=b", "characters"),
        ("https://example.com/\x00", "characters"),
        ("https://example.com\\@evil.example", "characters"),
        ("https:\\\\example.com", "characters"),
        ("https://example.com/\u202egnp.exe", "characters"),
        ("https://example.com/\u2028x", "characters"),
        ("http://①.com", "host"),
        ("http://ｅxample.com/", "host"),
        ("http://example。com/", "host"),
        ("http://%65xample.com/", "host"),
        ("http://a..b/", "host"),
        ("http://-a.example/", "host"),
        ("http://exa<mple.com/", "host"),
        (f"http://{'x' * 64}.example/", "host"),
        (f"http://{'x.' * 127}example/", "host"),
        ("http://2130706433/", "host"),
        ("http://0x7f.1/", "host"),
        ("http://0177.0.0.1/", "host"),
        ("http://1.2.3/", "host"),
        ("http://[::1%25eth0]/", "host"),
        ("http://[zz]/", "host"),
        ("http://[::1/", "host"),
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "port"),
        ("http://example.com:/", "port"),
        ("http://example.com:80a/", "port"),
        ("http://[::1]80/", "port"),
        ("https://go.example.com/x", "loop"),
        ("https://GO.Example.com", "loop"),
        ("https://go.example.com./x", "loop"),
        ("http://go.example.com:8080/x", "loop"),
        ("https://go.example.com?x", "loop"),
        ("http://127.0.0.1:8080/x", "loop"),
        ("http://localhost:8080/x", "loop"),
        ("http://[::1]:8080/x", "loop"),
        ("http://[::ffff:127.0.0.1]:8080/x", "loop"),
        ("http://127.1.2.3:8080/x", "loop"),
        ("https://café.example/", "loop"),
        ("https://CAFÉ.example/", "loop"),
        ("https://example.com/" + "x" * (LONGEST_DESTINATION - 19), "too_long"),
        ("https://example.com/" + "ä" * 2000, "too_long"),
    ],
)
def test_it_refuses_a_destination_with_its_reason(url: str, reason: str) -> None:
    with pytest.raises(DestinationRefused) as refused:
        check_destination(url, own_hosts=OWN)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("url", "suggestion"),
    [
        ("example.com/x", "https://example.com/x"),
        ("example.com:8080/x", "https://example.com:8080/x"),
        ("localhost:3000", "https://localhost:3000"),
        ("//example.com", "https://example.com"),
        ("a b", None),
        ("", None),
        ("javascript:alert(1)", None),
    ],
)
def test_it_suggests_what_was_meant(url: str, suggestion: str | None) -> None:
    with pytest.raises(DestinationRefused) as refused:
        check_destination(url, own_hosts=())
    assert refused.value.suggestion == suggestion


@given(texts)
def test_it_takes_or_refuses_any_text(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com/{text}"):
        try:
            taken = check_destination(url, own_hosts=OWN)
        except DestinationRefused:
            continue
        sent = ascii_url(taken)
        assert taken == url.strip()
        assert sent.isascii() and sent.isprintable() and " " not in sent
        assert check_destination(sent, own_hosts=OWN) == sent
        assert ascii_url(sent) == sent


@pytest.mark.parametrize(
    ("url", "sent", "host"),
    [
        ("https://Example.com/a", "https://Example.com/a", "example.com"),
        ("https://Bücher.example:8443/ä?q=%C3%A4&ü#é", None, "xn--bcher-kva.example"),
        ("https://straße.example", "https://xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("https://аpple.com/", "https://xn--pple-43d.com/", "xn--pple-43d.com"),
    ],
)
def test_it_shows_and_sends_other_scripts_in_ascii(url: str, sent: str | None, host: str) -> None:
    expected = sent or "https://xn--bcher-kva.example:8443/%C3%A4?q=%C3%A4&%C3%BC#%C3%A9"
    assert ascii_url(url) == expected
    assert host_of(url) == host
