"""Addresses that open apps: which ones a link may have, and the way that each phone takes."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts.link_snapshot import AppLinks
from core.domain.app_links import (
    ANDROID,
    IOS,
    SYSTEMS,
    Way,
    ascii_app_url,
    check_app_url,
    intent_of,
    way_of,
)
from core.domain.urls import DestinationRefused

INTENT = "intent://product/1?a=b#Intent;scheme=myapp;package=com.example.app;end"
SCHEMED, WEB, FALLBACK = "myapp://product/1", "https://app.example/1", "https://shop.example/a?b=c;d#e"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1"
)
PHONE = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36"
)
IN_APP = (
    "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/131.0.6778.135 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/492.0.0.66.79;]"
)
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Safari/605.1.15"
)
BOTH = AppLinks(ios=SCHEMED, android=INTENT)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "url",
    [
        WEB,
        "HTTPS://App.example/{slug}?c={click_id}",
        SCHEMED,
        "MyApp+x.2-b://",
        "myapp:///path",
        "myapp://é/ç?x={click_id}",
        "fb://profile/33138223345",
    ],
)
def test_it_takes_addresses_of_apps(url: str, system: str) -> None:
    assert check_app_url(f" {url} ", system=system, own_hosts=["go.example"]) == url


@pytest.mark.parametrize(
    "url",
    [
        INTENT,
        "intent://#Intent;scheme=myapp;end",
        "intent:///x#Intent;scheme=https;package=com.a;action=android.intent.action.VIEW;category=a.B;end",
    ],
)
def test_it_takes_intents_on_android_alone(url: str) -> None:
    assert check_app_url(url, system=ANDROID, own_hosts=[]) == url
    with pytest.raises(DestinationRefused, match="Only Android"):
        check_app_url(url, system=IOS, own_hosts=[])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("javascript:alert(1)", "scheme"),
        ("javascript://%0aalert(1)", "scheme"),
        ("JavaScript://x", "scheme"),
        *[
            (f"{scheme}://x/y", "scheme")
            for scheme in (
                *("data", "file", "vbscript", "blob", "about", "view-source", "filesystem", "content", "ftp"),
                *(
                    "ws",
                    "chrome",
                    "chrome-extension",
                    "moz-extension",
                    "itms-services",
                    "android-app",
                    "ms-word",
                ),
            )
        ],
        ("myapp:product", "scheme"),
        ("mailto:a@b.example", "scheme"),
        ("tel:+1", "scheme"),
        ("shop.example/x", "scheme"),
        ("my app://x", "characters"),
        ("myapp://x y", "characters"),
        ("myapp://x\ny", "characters"),
        ("myapp://x\\y", "characters"),
        ("myapp://x\u202ey", "characters"),
        ("myapp://x\ud800", "characters"),
        ("myapp://{referrer}/x", "host"),
        ("myapp://x" + "y" * 8192, "too_long"),
        ("https://", "no_host"),
        ("https://user@a.example/", "user_info"),
        ("https://go.example/x", "loop"),
        ("myapp://x#y", "characters"),
        ("intent://x", "intent"),
        ("intent:#Intent;scheme=myapp;end", "scheme"),
        ("intent://x#Intent;end", "intent"),
        ("intent://x#Intent;package=com.a.b;end", "intent"),
        ("intent://x#Intent;scheme=myapp;component=com.a/.B;end", "intent"),
        ("intent://x#Intent;scheme=myapp;S.extra=1;end", "intent"),
        ("intent://x#Intent;scheme=myapp;SEL;end", "intent"),
        ("intent://x#Intent;scheme=myapp;scheme=javascript;end", "intent"),
        ("intent://x#Intent;scheme=javascript;end", "scheme"),
        ("intent://x#Intent;scheme=file;end", "scheme"),
        ("intent://x#Intent;scheme=myapp;package={_referrer};end", "intent"),
        ("intent://x#Intent;scheme=myapp;end;x", "intent"),
        ("intent://x#Intent;scheme=myapp;S.browser_fallback_url=https%3A%2F%2Fa.example;end", "intent"),
        ("intent://x#y#Intent;scheme=myapp;end", "intent"),
        ("intent://{_referrer}/#Intent;scheme=myapp;end", "host"),
    ],
)
def test_it_refuses_what_opens_no_app(url: str, reason: str) -> None:
    with pytest.raises(DestinationRefused) as refused:
        check_app_url(url, system=ANDROID, own_hosts=["go.example"])
    assert refused.value.reason == reason


def test_it_sends_addresses_in_ascii() -> None:
    assert ascii_app_url("myapp://é/ç?x={click_id}") == "myapp://%C3%A9/%C3%A7?x={click_id}"
    assert ascii_app_url("https://é.example/ç") == "https://xn--9ca.example/%C3%A7"
    assert ascii_app_url("") == ""


@pytest.mark.parametrize(
    ("apps", "agent", "way"),
    [
        (BOTH, IPHONE, Way(IOS, SCHEMED)),
        (BOTH, IPHONE.replace("iPhone;", "iPad;"), Way(IOS, SCHEMED)),
        (BOTH, PHONE, Way(ANDROID, INTENT)),
        (BOTH, IN_APP, None),
        (AppLinks(android=WEB), IN_APP, Way(ANDROID, WEB)),
        (BOTH, MAC, None),
        (BOTH, "", None),
        (BOTH, "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia) like iPhone", None),
        (AppLinks(android=INTENT), IPHONE, None),
        (AppLinks(ios=SCHEMED), PHONE, None),
    ],
)
def test_it_knows_the_way_of_each_phone(apps: AppLinks, agent: str, way: Way | None) -> None:
    assert way_of(apps, agent) == way


def test_it_tells_the_webs_addresses_from_an_apps() -> None:
    assert Way(IOS, "HTTPS://a.example/").is_web and not Way(IOS, "httpsx://a").is_web


@pytest.mark.parametrize(
    ("url", "intent"),
    [
        (SCHEMED, "intent://product/1#Intent;scheme=myapp;S.browser_fallback_url=BACK;end"),
        ("MyApp://", "intent://#Intent;scheme=myapp;S.browser_fallback_url=BACK;end"),
        (
            INTENT,
            "intent://product/1?a=b#Intent;scheme=myapp;package=com.example.app;S.browser_fallback_url=BACK;end",
        ),
    ],
)
def test_it_writes_an_intent_with_a_way_back(url: str, intent: str) -> None:
    made = intent_of(url, fallback=FALLBACK)
    back = made.split("S.browser_fallback_url=")[1].removesuffix(";end")
    assert unquote(back) == FALLBACK and not set(back) & set(";#&?/:")
    assert made.replace(back, "BACK") == intent


@given(st.text(max_size=60))
def test_it_takes_or_refuses_any_text(text: str) -> None:
    for system in SYSTEMS:
        for typed in (text, f"myapp://{text}", f"intent://{text}#Intent;scheme=myapp;end"):
            try:
                taken = ascii_app_url(check_app_url(typed, system=system, own_hosts=[]))
            except DestinationRefused:
                continue
            assert taken.isascii() and taken.isprintable()
