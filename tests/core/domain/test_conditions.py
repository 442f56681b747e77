"""What a condition may say, and what is said to a person who wrote another thing."""

import msgspec
import pytest

from core.contracts.link_snapshot import Condition
from core.domain.bots import REASONS
from core.domain.conditions import KINDS, ConditionRefused, check_condition, describe


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        (Condition("country", values=(" br", "BR", "pt")), ("BR", "PT")),
        (Condition("device", values=("Mobile",)), ("mobile",)),
        (Condition("os", values=(" Windows ",)), ("Windows",)),
        (Condition("language", values=("pt_br", "EN")), ("pt-BR", "en")),
        (Condition("query", name="q"), ()),
        (Condition("query", name="q", values=(" a", "")), (" a", "")),
        (Condition("referrer", values=("www.Google.com", "bücher.example", "")), None),
        (Condition("referrer", values=("com.google.android_gm.app",)), ("com.google.android_gm.app",)),
        (Condition("date", values=("2026-11-27/2026-12-01T09:00",), zone="UTC"), None),
        (Condition("time", zone="UTC", weekdays=("fri", "mon")), ("00:00-24:00",)),
        (Condition("ip", values=("192.0.2.7/24", "2001:DB8::1")), ("192.0.2.0/24", "2001:db8::1/128")),
        (Condition("robot"), ()),
        (Condition("robot", is_not=True, values=REASONS), REASONS),
    ],
)
def test_it_writes_values_in_one_spelling(condition: Condition, values: tuple[str, ...] | None) -> None:
    checked = check_condition(condition)
    if values is not None:
        assert checked.values == values
    assert (checked.kind, checked.is_not) == (condition.kind, condition.is_not)
    assert check_condition(checked) == checked


def test_it_orders_weekdays_and_reads_hosts() -> None:
    assert check_condition(Condition("time", zone="UTC", weekdays=("fri", "mon"))).weekdays == ("mon", "fri")
    hosts = check_condition(Condition("referrer", values=("www.Google.com", "bücher.example", "")))
    assert hosts.values == ("google.com", "xn--bcher-kva.example", "")


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        (Condition("weather", values=("sunny",)), "kind"),
        *[
            (Condition(kind, zone="UTC" if kind in ("date", "time") else ""), "values")
            for kind in KINDS
            if kind not in ("query", "robot", "returning")
        ],
        (Condition("country", values=("BR", "Brazil")), "values.1"),
        (Condition("country", values=("B1",)), "values.0"),
        (Condition("device", values=("phone",)), "values.0"),
        (Condition("os", values=(" ",)), "values.0"),
        (Condition("browser", values=("a\x00",)), "values.0"),
        (Condition("browser", values=("x" * 201,)), "values.0"),
        (Condition("browser", values=tuple(map(str, range(101)))), "values"),
        (Condition("language", values=("portuguese",)), "values.0"),
        (Condition("language", values=("pt,en",)), "values.0"),
        (Condition("query"), "name"),
        (Condition("query", name="x" * 201), "name"),
        (Condition("query", name="a\0"), "name"),
        (Condition("query", name="\ud800"), "name"),
        (Condition("country", name="q", values=("BR",)), "name"),
        (Condition("referrer", values=("https://google.com",)), "values.0"),
        (Condition("date", values=("2026-11-27/..",)), "zone"),
        (Condition("date", values=("2026-11-27/..",), zone="Mars/Olympus"), "zone"),
        (Condition("date", values=("2026-11-27/..",), zone="../etc/passwd"), "zone"),
        (Condition("date", values=("2026-11-27",), zone="UTC"), "values.0"),
        (Condition("date", values=("../..",), zone="UTC"), "values.0"),
        (Condition("date", values=("2026-11-27/2026-11-27",), zone="UTC"), "values.0"),
        (Condition("date", values=("2026-02-30/..",), zone="UTC"), "values.0"),
        (Condition("date", values=("0001-01-01/..",), zone="Asia/Tokyo"), "values.0"),
        (Condition("country", values=("BR",), zone="UTC"), "zone"),
        (Condition("country", values=("BR",), weekdays=("mon",)), "weekdays"),
        (Condition("time", zone="UTC", weekdays=("monday",)), "weekdays.0"),
        *[
            (Condition("time", values=(value,), zone="UTC"), "values.0")
            for value in ("9:00-18:00", "09:00-24:01", "24:00-09:00", "09:60-10:00", "09:00-09:00", "now")
        ],
        (Condition("ip", values=("192.0.2.0/33",)), "values.0"),
        (Condition("ip", values=("fe80::1%eth0/64",)), "values.0"),
        (Condition("robot", values=("googlebot",)), "values.0"),
        (Condition("returning", values=("yes",)), "values.0"),
        (Condition("returning", zone="UTC"), "zone"),
    ],
)
def test_it_says_which_part_can_not_be_taken(condition: Condition, field: str) -> None:
    with pytest.raises(ConditionRefused) as refused:
        check_condition(condition)
    assert refused.value.field == field and refused.value.message.endswith(".")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("country", values=("BR", "PT")), "country is BR or PT"),
        (Condition("device", is_not=True, values=("tv",)), "device is not tv"),
        (Condition("query", name="q"), "query q is there"),
        (Condition("query", name="q", values=("",)), "query q is empty"),
        (Condition("robot"), "robot is there"),
        (Condition("returning"), "visitor is returning"),
        (Condition("returning", is_not=True), "visitor is new"),
        (Condition("country", values=("A", "B", "C", "D")), "country is A or B or C or …"),
        (
            Condition("time", values=("22:00-06:00",), zone="UTC", weekdays=("fri",)),
            "time is 22:00-06:00 on fri",
        ),
    ],
)
def test_it_says_a_condition_in_words(condition: Condition, words: str) -> None:
    assert describe(condition) == words


def test_it_is_small_when_encoded() -> None:
    assert msgspec.msgpack.encode(Condition("ip")) == b"\x81\xa1k\xa2ip"
