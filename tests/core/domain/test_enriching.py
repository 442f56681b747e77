"""What is read out of a visitor's headers and address: tables of cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.agents import Agent, read_agent
from core.domain.languages import first_language
from core.domain.referrers import referrer_host
from core.domain.utm import NO_UTM, Utm, read_utm
from core.domain.visitors import seen_hash, truncated, visitor_hash

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("user_agent", "agent"),
    [
        ("", Agent()),
        ("   ", Agent()),
        ("nonsense", Agent()),
        (
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
                "Safari/537.36"
            ),
            Agent("Chrome", "Windows", "desktop"),
        ),
        (
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
                "Safari/605.1.15"
            ),
            Agent("Safari", "macOS", "desktop"),
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile "
                "Safari/537.36"
            ),
            Agent("Chrome", "Android", "mobile"),
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 11; SM-T510) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 "
                "Safari/537.36"
            ),
            Agent("Chrome", "Android", "tablet"),
        ),
        (
            (
                "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                "CriOS/131.0.6778.103 Mobile/15E148 Safari/604.1"
            ),
            Agent("Chrome", "iOS", "tablet"),
        ),
        (
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                "Mobile/21F90 Instagram 361.0.0.35.82 (iPhone15,2; iOS 17_5_1; pt_BR)"
            ),
            Agent("Instagram", "iOS", "mobile"),
        ),
        (
            (
                "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV "
                "Safari/537.36"
            ),
            Agent("Safari", "Tizen", "tv"),
        ),
        ("curl/8.5.0", Agent("curl", "", "")),
        ("curl/8.5.0" + " x" * 100_000, Agent("curl", "", "")),
    ],
)
def test_it_reads_an_agent(user_agent: str, agent: Agent) -> None:
    assert read_agent(user_agent) == agent


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("", ""),
        ("https://www.Google.com/search?q=x", "google.com"),
        ("http://news.example.com:8080/a#b", "news.example.com"),
        ("android-app://com.google.android.gm/", "com.google.android.gm"),
        ("https://go.example.com/other", ""),
        ("https://go.example.com./", ""),
        ("https://wwwx.example.com/", "wwwx.example.com"),
        ("https://user:pass@a.example/", "a.example"),
        ("https://[2001:db8::1]:80/", "2001:db8::1"),
        ("https://[broken/", ""),
        ("about:blank", ""),
        ("javascript:alert(1)", ""),
        ("ios-app://x", ""),
        ("nonsense", ""),
        ("https://" + "a" * 300 + ".example/", ""),
    ],
)
def test_it_reads_the_referring_host(referrer: str, host: str) -> None:
    assert referrer_host(referrer, own_host="GO.example.com:8080") == host


@pytest.mark.parametrize(
    ("query", "utm"),
    [
        ("", NO_UTM),
        ("a=b&c", NO_UTM),
        ("utm_source=Mail&utm_medium=e-mail", Utm(source="Mail", medium="e-mail")),
        ("x=1&utm_campaign=Black+Friday%202026&utm_term=%C3%A9", Utm(campaign="Black Friday 2026", term="é")),
        ("utm_content=%20a%20&utm_content=b", Utm(content="a")),
        ("utm_source=&utm_source=second", Utm(source="second")),
        ("utm_source", NO_UTM),
        ("utm_source=%FF", Utm(source="\ufffd")),
        ("utm_id=7&my_utm_source=x", NO_UTM),
        ("utm_source=" + "x" * 500, Utm(source="x" * 200)),
        ("&" * 9000 + "utm_source=far", NO_UTM),
        ("utm_count=x&utm_index=y", NO_UTM),
    ],
)
def test_it_reads_utm_values(query: str, utm: Utm) -> None:
    assert read_utm(query) == utm


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", ""),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt-BR"),
        ("pt-br", "pt-BR"),
        ("EN_us;q=1", "en-US"),
        ("zh-hans-cn", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("de-CH-1996", "de-CH"),
        ("*", ""),
        (" fr ;q=0.1", "fr"),
        ("x" * 5000, ""),
        ("<script>", ""),
    ],
)
def test_it_reads_the_first_language(header: str, language: str) -> None:
    assert first_language(header) == language


@pytest.mark.parametrize(
    ("ip", "kept"),
    [
        ("", ""),
        ("203.0.113.200", "203.0.113.0"),
        ("0.0.0.0", "0.0.0.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        ("::ffff:203.0.113.200", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("203.0.113", ""),
        ("203.0.113.256", ""),
        ("1.2.3.4\n", ""),
        ("'; drop table clicks", ""),
    ],
)
def test_it_keeps_only_the_network_of_an_address(ip: str, kept: str) -> None:
    assert truncated(ip) == kept


def test_it_hashes_a_visitor_by_address_agent_and_key() -> None:
    ours = visitor_hash("203.0.113.1", "agent", key=KEY)
    assert ours == visitor_hash("203.0.113.1", "agent", key=KEY)
    others = [
        visitor_hash("203.0.113.2", "agent", key=KEY),
        visitor_hash("203.0.113.1", "agents", key=KEY),
        visitor_hash("203.0.113.1", "agent", key=b"l" * 32),
    ]
    assert len({ours, *others}) == 4


def test_it_remembers_a_visitor_by_what_nobody_can_compute_without_the_key() -> None:
    ours = seen_hash("203.0.113.1", "agent", key=KEY)
    assert ours == seen_hash("203.0.113.1", "agent", key=KEY) and len(ours) == 16
    others = {
        seen_hash("203.0.113.2", "agent", key=KEY),
        seen_hash("203.0.113.1", "agents", key=KEY),
        seen_hash("203.0.113.1", "agent", key=b"l" * 32),
        seen_hash("", "\ud800", key=KEY),
    }
    assert len(others) == 4 and ours not in others


@given(ip=st.text(), user_agent=st.text())
def test_it_hashes_anything_to_a_number_that_fits(ip: str, user_agent: str) -> None:
    number = visitor_hash(ip, user_agent, key=KEY)
    assert -(2**63) <= number < 2**63
    assert number != 0


@given(st.text())
def test_it_bears_any_header(text: str) -> None:
    read_agent(text)
    referrer_host(text, own_host=text)
    referrer_host(f"https://{text}", own_host="go.example.com")
    read_utm(f"utm_source={text}")
    first_language(text)
    truncated(text)
