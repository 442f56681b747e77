"""Where a click is led: the visitor's query, macros and the click id, and what a visitor can never do."""

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.destination import (
    CLICK_ID_MACROS,
    LONGEST_PASSED,
    MACROS,
    is_plain,
    resolve,
    source_of,
    unknown_macros,
)

CLICK_ID = "0199e2a7-c400-7abc-8def-0123456789ab"
VALUES = {
    "campaign": "Black Friday",
    "source": "a&b=c",
    "slug": "promoção",
    "referrer": "https://n.example/?x#y",
}


def value_of(name: str) -> str:
    return CLICK_ID if name in CLICK_ID_MACROS else VALUES.get(name, "")


@pytest.mark.parametrize(
    ("url", "query", "location"),
    [
        ("https://a.example", "", "https://a.example"),
        ("https://a.example", "x=1", "https://a.example?x=1"),
        ("https://a.example/", "x=1", "https://a.example/?x=1"),
        ("https://a.example/?", "", "https://a.example/?"),
        ("https://a.example/?", "x=1", "https://a.example/?x=1"),
        ("https://a.example/#f", "x=1", "https://a.example/?x=1#f"),
        ("https://a.example/#f?g=1", "x=1", "https://a.example/?x=1#f?g=1"),
        ("https://a.example/?a=1#f", "x=1&x=2&y", "https://a.example/?a=1&x=1&x=2&y#f"),
        ("https://a.example/?b=%20+[c]&a=1", "z=1&y=2", "https://a.example/?b=%20+[c]&a=1&z=1&y=2"),
        ("https://a.example/?a=1&b=2&a=3", "a=9&a=8", "https://a.example/?b=2&a=9&a=8"),
        ("https://a.example/?%61=1&b=2", "a=9", "https://a.example/?b=2&a=9"),
        ("https://a.example/?a=1", "%61=9", "https://a.example/?%61=9"),
        ("https://a.example/?a+b=1", "a%20b=9", "https://a.example/?a%20b=9"),
        ("https://a.example/?A=1", "a=9", "https://a.example/?A=1&a=9"),
        ("https://a.example/?a=1&&b=2", "&&x=1&&", "https://a.example/?a=1&&b=2&x=1"),
        ("https://a.example/?a=1", "s=mail", "https://a.example/?a=1"),
        ("https://a.example/?s=theirs", "s=mail&x=1", "https://a.example/?s=theirs&x=1"),
        ("https://a.example/?a=1", "%73=mail&ss=2", "https://a.example/?a=1&ss=2"),
        ("https://a.example/", "q=%C3%A9&r=é s#t", "https://a.example/?q=%C3%A9&r=%C3%A9%20s%23t"),
        ("https://a.example/", "q=%0d%0a\r\nx: y", "https://a.example/?q=%0d%0a%0D%0Ax:%20y"),
        ("https://a.example/", "q=%zz%", "https://a.example/?q=%zz%"),
        ("https://a.example/", "q={click_id}", "https://a.example/?q={click_id}"),
    ],
)
def test_it_passes_the_query_on(url: str, query: str, location: str) -> None:
    assert resolve(url, query=query, source_param="s", value_of=value_of).url == location


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://a.example/?c={click_id}", f"https://a.example/?c={CLICK_ID}"),
        ("https://a.example/{ClickID}/x#{subid}", f"https://a.example/{CLICK_ID}/x#{CLICK_ID}"),
        *(
            (f"https://a.example/?c={{{name}}}", f"https://a.example/?c={CLICK_ID}")
            for name in sorted(CLICK_ID_MACROS)
        ),
        ("https://a.example/?c={campaign}&d=%20+", "https://a.example/?c=Black%20Friday&d=%20+"),
        ("https://a.example/?c={source}", "https://a.example/?c=a%26b%3Dc"),
        ("https://a.example/?c={_source}", "https://a.example/?c=a%26b%3Dc"),
        ("https://a.example/{slug}", "https://a.example/promo%C3%A7%C3%A3o"),
        ("https://a.example/?r={referrer}", "https://a.example/?r=https%3A%2F%2Fn.example%2F%3Fx%23y"),
        ("https://a.example/?r={_referrer}", "https://a.example/?r=https://n.example/%3Fx%23y"),
        ("https://a.example/?a={nothing}&b={os}", "https://a.example/?a=&b="),
        ("https://a.example/?a={}&b={1}&c={a-b}", "https://a.example/?a={}&b={1}&c={a-b}"),
    ],
)
def test_it_fills_macros_in(url: str, location: str) -> None:
    assert resolve(url, value_of=value_of).url == location


@pytest.mark.parametrize(
    ("url", "query", "location"),
    [
        ("https://a.example/", "", f"https://a.example/?cid={CLICK_ID}"),
        ("https://a.example/?a=1#f", "b=2", f"https://a.example/?a=1&cid={CLICK_ID}&b=2#f"),
        ("https://a.example/?cid=x&a=1", "", f"https://a.example/?a=1&cid={CLICK_ID}"),
        ("https://a.example/", "cid=forged&b=2&%63id=x", f"https://a.example/?cid={CLICK_ID}&b=2"),
        ("https://a.example/?cid={clickid}", "cid=forged", f"https://a.example/?cid={CLICK_ID}"),
        ("https://a.example/?sub={subid}", "sub=forged", f"https://a.example/?sub={CLICK_ID}"),
        ("https://a.example/{click_id}/", "cid=x", f"https://a.example/{CLICK_ID}/?cid=x"),
    ],
)
def test_it_adds_the_click_id_once(url: str, query: str, location: str) -> None:
    assert resolve(url, query=query, click_id_param="cid", value_of=value_of).url == location


def test_it_passes_nothing_on_where_the_link_says_so() -> None:
    found = resolve(
        "https://a.example/?utm_source=a", query="utm_source=b", pass_query=False, value_of=value_of
    )
    assert found == ("https://a.example/?utm_source=a", "utm_source=a")


@pytest.mark.parametrize(
    ("url", "query", "utm"),
    [
        ("https://a.example/?utm_source=mail&x=1", "", "utm_source=mail"),
        ("https://a.example/?utm_source=mail", "utm_source=web&y=2", "utm_source=web"),
        ("https://a.example/?utm_source=mail", "utm_medium=x", "utm_source=mail&utm_medium=x"),
        ("https://a.example/?utm_source={source}", "", "utm_source=a%26b%3Dc"),
        ("https://a.example/#utm_source=x", "", ""),
    ],
)
def test_it_tells_the_utm_values_of_where_it_leads(url: str, query: str, utm: str) -> None:
    assert resolve(url, query=query, value_of=value_of).utm == utm


def test_it_passes_no_parameter_on_that_the_trackers_limit_cut() -> None:
    query = ("a=1&b=" + "x" * LONGEST_PASSED)[:LONGEST_PASSED]
    assert resolve("https://a.example/", query=query, value_of=value_of).url == "https://a.example/?a=1"


@pytest.mark.parametrize(
    ("query", "name", "source"),
    [
        ("s=newsletter", "s", "newsletter"),
        ("x=1&s=a+b%C3%A9&s=second", "s", "a bé"),
        ("s=&s=%20&s=b", "s", "b"),
        ("%73=x", "s", "x"),
        ("ss=1&xs=2", "s", ""),
        ("s=x", "", ""),
        ("s=x&ref=y", "ref", "y"),
        ("s=" + "x" * 300, "s", "x" * 100),
        ("", "s", ""),
    ],
)
def test_it_reads_the_source_tag(query: str, name: str, source: str) -> None:
    assert source_of(query, name) == source


def test_it_knows_what_is_no_macro() -> None:
    assert unknown_macros("https://a.example/?a={click_id}&b={Foo}&c={_bar}&d={Foo}&e={1}") == [
        "{Foo}",
        "{_bar}",
    ]
    assert (
        unknown_macros("https://a.example/?" + "&".join(f"a={{{name}}}&b={{_{name}}}" for name in MACROS))
        == []
    )


_text = st.text(max_size=40) | st.text(alphabet='&=#?/\\@:%{}\r\n\t\0 é"<>._-sa1', max_size=40)
_urls = st.builds(
    "https://{}{}{}{}".format,
    st.sampled_from(["a.example", "a.example:8443"]),
    st.sampled_from(["", "/", "/p/{slug}", "/{_source}", "/%20"]),
    st.sampled_from(
        ["", "?", "?a=1", "?s=1&x={referrer}", "?cid={click_id}&utm_source={_source}", "?a=[1]&&b"]
    ),
    st.sampled_from(["", "#", "#f", "#{source}?x"]),
)


@given(
    url=_urls,
    query=_text,
    value=_text,
    pass_query=st.booleans(),
    source_param=st.sampled_from(["", "s"]),
    click_id_param=st.sampled_from(["", "cid", "a"]),
)
def test_it_gives_a_visitor_no_way_out_of_the_query(
    url: str, query: str, value: str, pass_query: bool, source_param: str, click_id_param: str
) -> None:
    found = resolve(
        url,
        query=query,
        pass_query=pass_query,
        source_param=source_param,
        click_id_param=click_id_param,
        value_of=lambda name: CLICK_ID if name in CLICK_ID_MACROS else value,
    )
    assert found.url.isascii() and found.url.isprintable() and " " not in found.url
    before, after = urlsplit(url), urlsplit(found.url)
    assert (after.scheme, after.netloc) == (before.scheme, before.netloc)
    if not {"{slug}", "{_source}"} & set(before.path.split("/")):
        assert after.path == before.path
    if "{" not in before.fragment:
        assert after.fragment == before.fragment
    if click_id_param or "{click_id}" in url:
        carrier = "cid" if "{click_id}" in url else click_id_param
        values = [held for name, held in parse_qsl(after.query, keep_blank_values=True) if name == carrier]
        assert values == [CLICK_ID]


@given(query=_text)
def test_it_keeps_order_and_repeats(query: str) -> None:
    passed = resolve("https://a.example/", query=query, value_of=value_of).url.partition("?")[2]
    assert [unquote(part) for part in passed.split("&") if part] == [
        unquote(part) for part in query.split("&") if part
    ]


@given(url=_urls.filter(lambda url: "{" not in url))
def test_it_leaves_a_plain_destination_as_it_is(url: str) -> None:
    assert resolve(url, value_of=value_of).url == url
    assert not is_plain(url) or resolve(url, value_of=value_of) == (url, "")
