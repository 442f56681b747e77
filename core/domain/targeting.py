"""The rules and the split of a link, compiled once and asked on every visit.

A link's first rule whose conditions all hold wins. A condition that this release can not read (a kind of a later one,
a zone that this machine does not know) makes its rule match nobody: leading a visitor to where the owner did not mean
is worse than the link's own destination.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from core.contracts import click_event
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule, Variant
from core.domain import conditions
from core.domain.conditions import network_of, range_of, window_of, zone_of
from core.domain.decision import Decision
from core.domain.facts import Facts
from core.domain.networks import Number
from core.domain.split import Split

Test = Callable[[Any], bool]
"""Asked about the Facts of a visit; a country's about its code, an address's about its Number."""

_REMEMBERED = 8192
_LONGEST_REMEMBERED = 400
"""For how many texts of visitors, in all, it is remembered what they mean for rules, and of how many characters at
most: what browsers send takes some 3 MB, and what somebody makes up to fill the memory 15 MB."""


class Plan:
    """What a link's rules and split lead to. Only for links that have any."""

    def __init__(self, link: LinkSnapshot) -> None:
        compiled = (_compile(link, rule) for rule in link.rules)
        self._rules = tuple(rule for rule in compiled if rule is not None)
        self._all = (1 << len(self._rules)) - 1
        self._parts = tuple((part.bits, part.left) for part in _parts_of(self._rules))
        self.asks_returning = bool(link.split_key) and any(map(asks_returning, link.rules))
        """True when a rule wants to know who was here before; nobody can be told apart without a key."""
        self._split = _split(link, link.split)
        self._destination = _led(link, link.url)

    def lead(self, facts: Facts) -> Decision:
        """What `decide` comes to for a link that has nothing else that could decide."""
        led = self.by_rule(facts)
        if led is not None:
            return led
        split, asked = self._split, facts.asked
        return self._destination if split is None else split.choose(asked.ip, asked.user_agent)

    def by_rule(self, facts: Facts) -> Decision | None:
        """Where the first rule that matches leads."""
        left = self._all  # a bit for each rule that may still be the one
        for bits, leaves in self._parts:
            if left & bits:
                left &= leaves(facts)
        if not left:
            return None
        rule = self._rules[(left & -left).bit_length() - 1]
        return rule.end if rule.split is None else rule.split.choose(facts.asked.ip, facts.asked.user_agent)

    def by_split(self, facts: Facts) -> Decision | None:
        """Where the link's own split leads."""
        return None if self._split is None else self._split.choose(facts.asked.ip, facts.asked.user_agent)


def asks_returning(rule: Rule) -> bool:
    """True for a rule that asks who was here before."""
    return any(condition.kind == conditions.RETURNING for condition in rule.conditions)


def plan_of(link: LinkSnapshot) -> Plan | None:
    """The compiled rules and split of a link; None for one that has neither. Some 10 us a rule."""
    return Plan(link) if link.rules or link.split else None


class _Compiled(msgspec.Struct, frozen=True):
    tests: tuple[tuple[str, Test], ...]
    """Each with the kind of its condition."""
    end: Decision
    split: Split[Decision] | None


def _compile(link: LinkSnapshot, rule: Rule) -> _Compiled | None:
    try:
        tests = tuple((condition.kind, _test(condition)) for condition in rule.conditions)
    except (ValueError, KeyError):
        return None
    return _Compiled(tests, _led(link, rule.url, rule=rule.id), _split(link, rule.split, rule=rule.id))


def _split(link: LinkSnapshot, variants: tuple[Variant, ...], *, rule: int = 0) -> Split[Decision] | None:
    if not variants:
        return None
    ends = ((each, _led(link, each.url, rule=rule, variant=each.id)) for each in variants)
    return Split(ends, link_id=link.link_id, key=link.split_key)


def _led(link: LinkSnapshot, url: str, *, rule: int = 0, variant: int = 0) -> Decision:
    return Decision(link.status, click_event.REDIRECT, url, rule, variant)


class _Part:
    """The conditions on one kind of facts, of all rules. `bits` are the rules that have any."""

    def __init__(self, tests: Iterable[tuple[int, Test]]) -> None:
        self._tests = tuple(tests)
        self.bits = 0
        for bit, _ in self._tests:
            self.bits |= bit

    def left(self, facts: Facts) -> int:
        """The rules that these conditions leave: all bits but those of rules of which one does not hold."""
        return self._left(facts)

    def _left(self, fact: Any) -> int:
        gone = 0
        for bit, test in self._tests:
            if not (gone & bit or test(fact)):
                gone |= bit
        return ~gone


Known = dict[str, dict[str, int]]
"""What pairs of texts leave of the rules of one part."""


class _Memory:
    """What pairs of texts leave of rules, for all parts together: each keeps its own, in a dictionary of dictionaries
    (to make and hash a pair costs more than to look twice), and all forget everything once there is too much."""

    def __init__(self) -> None:
        self._filled: list[Known] = []
        self._held = 0

    def keep(self, known: Known, first: str, second: str, left: int) -> None:
        """Remember, unless the texts are long."""
        if len(first) + len(second) > _LONGEST_REMEMBERED:
            return
        if self._held >= _REMEMBERED:
            for one in self._filled:
                one.clear()
            self._filled.clear()
            self._held = 0
        if not known:
            self._filled.append(known)
        known.setdefault(first, {})[second] = left
        self._held += 1


_MEMORY = _Memory()
_NOTHING: dict[str, int] = {}


class _Repeated(_Part):
    """Of facts that come again and again, with other visitors: what they leave is remembered."""

    def __init__(self, tests: Iterable[tuple[int, Test]]) -> None:
        super().__init__(tests)
        self._known: Known = {}

    def _found(self, first: str, second: str, facts: Facts) -> int:
        left = self._left(facts)
        _MEMORY.keep(self._known, first, second, left)
        return left


class _Browsers(_Repeated):
    def left(self, facts: Facts) -> int:
        asked = facts.asked
        agent, language = asked.user_agent, asked.language
        return self._known.get(agent, _NOTHING).get(language) or self._found(agent, language, facts)


class _Origins(_Repeated):
    """A query that there is is nearly always another one: ids of clicks stand in it. Robots have many reasons."""

    def left(self, facts: Facts) -> int:
        asked = facts.asked
        if asked.query or facts.door_bot:
            return self._left(facts)
        host, referrer = asked.host, asked.referrer
        return self._known.get(host, _NOTHING).get(referrer) or self._found(host, referrer, facts)


class _Clock(_Part):
    """What dates and windows leave, remembered for the second at hand: a zone's clock costs more than all else here.
    All of them begin and end with a second."""

    _second = -1
    _now = 0

    def left(self, facts: Facts) -> int:
        second = facts.now_ms // 1000
        if second != self._second:
            self._now, self._second = self._left(facts), second
        return self._now


class _Countries(_Part):
    """What each country leaves is remembered: there are some 250."""

    def __init__(self, tests: Iterable[tuple[int, Test]]) -> None:
        super().__init__(tests)
        self._known: dict[str, int] = {}

    def left(self, facts: Facts) -> int:
        asked = facts.asked
        country = facts.country_of(asked.ip, asked.address)
        left = self._known.get(country)
        if left is None:
            left = self._known[country] = self._left(country)
        return left


class _Addresses(_Part):
    def left(self, facts: Facts) -> int:
        address, gone = facts.asked.address or _NOWHERE, 0
        for bit, test in self._tests:
            if not test(address):
                gone |= bit
        return ~gone


_NOWHERE = (0, 0)


def _parts_of(rules: Iterable[_Compiled]) -> Iterable[_Part]:
    """The parts that rules need, those that cost most last: they are only asked while it matters."""
    by_kind: dict[str, list[tuple[int, Test]]] = {}
    for place, rule in enumerate(rules):
        for kind, test in rule.tests:
            by_kind.setdefault(kind, []).append((1 << place, test))
    for kinds, make in _PARTS:
        tests = [test for kind in kinds for test in by_kind.get(kind, ())]
        if tests:
            yield make(tests)


_PARTS: tuple[tuple[tuple[str, ...], Callable[[list[tuple[int, Test]]], _Part]], ...] = (
    ((conditions.DEVICE, conditions.OS, conditions.BROWSER, conditions.LANGUAGE), _Browsers),
    ((conditions.QUERY, conditions.REFERRER, conditions.ROBOT), _Origins),
    ((conditions.DATE, conditions.TIME), _Clock),
    ((conditions.RETURNING,), _Part),
    ((conditions.IP,), _Addresses),
    ((conditions.COUNTRY,), _Countries),
)


def _test(condition: Condition) -> Test:
    """Raises ValueError or KeyError for a condition that can not be read."""
    holds = _TESTS[condition.kind](condition)
    return (lambda facts: not holds(facts)) if condition.is_not else holds


def _country(condition: Condition) -> Test:
    wanted = frozenset(condition.values)
    return lambda country: country in wanted


def _device(condition: Condition) -> Test:
    wanted = frozenset(condition.values)
    return lambda facts: facts.agent.device in wanted


def _os(condition: Condition) -> Test:
    wanted = frozenset(value.casefold() for value in condition.values)
    return lambda facts: facts.agent.os.casefold() in wanted


def _browser(condition: Condition) -> Test:
    wanted = frozenset(value.casefold() for value in condition.values)
    return lambda facts: facts.agent.browser.casefold() in wanted


def _language(condition: Condition) -> Test:
    starts = tuple(f"{value}-" for value in condition.values)
    return lambda facts: f"{facts.language}-".startswith(starts)


def _query(condition: Condition) -> Test:
    name, wanted = condition.name, frozenset(condition.values)
    if not wanted:
        return lambda facts: name in facts.parameters
    return lambda facts: not wanted.isdisjoint(facts.parameters.get(name, ()))


def _referrer(condition: Condition) -> Test:
    wanted = frozenset(condition.values)
    ends = tuple(f".{value}" for value in condition.values if value)
    return lambda facts: facts.referrer_host in wanted or facts.referrer_host.endswith(ends)


def _date(condition: Condition) -> Test:
    zone = zone_of(condition.zone)
    ranges = tuple(range_of(value, zone) for value in condition.values)

    def holds(facts: Facts) -> bool:
        for start, end in ranges:  # noqa: SIM110 (any() with a generator costs twice as much)
            if start <= facts.now_ms < end:
                return True
        return False

    return holds


def _time(condition: Condition) -> Test:
    zone, windows = zone_of(condition.zone), [window_of(value) for value in condition.values]
    days = frozenset(map(conditions.WEEKDAYS.index, condition.weekdays)) or frozenset(range(7))

    def holds(facts: Facts) -> bool:
        here = datetime.fromtimestamp(facts.now_ms / 1000, zone)
        minute, today = here.hour * 60 + here.minute, here.weekday()
        return any(_within(start, end, minute, today, days) for start, end in windows)

    return holds


def _within(start: int, end: int, minute: int, today: int, days: frozenset[int]) -> bool:
    """A window over midnight belongs to the day that it started on."""
    if start < end:
        return start <= minute < end and today in days
    return (minute >= start and today in days) or (minute < end and (today - 1) % 7 in days)


def _ip(condition: Condition) -> Test:
    networks = [network_of(value) for value in condition.values]
    ranges: dict[int, list[tuple[int, int]]] = {4: [], 6: [], 0: []}
    for net in networks:
        ranges[net.version].append((int(net.network_address), int(net.broadcast_address)))

    def holds(address: Number) -> bool:
        family, number = address
        for first, last in ranges[family]:  # noqa: SIM110 (any() with a generator costs twice as much)
            if first <= number <= last:
                return True
        return False

    return holds


def _robot(condition: Condition) -> Test:
    wanted = frozenset(condition.values)
    if not wanted:
        return lambda facts: bool(facts.door_bot)
    return lambda facts: facts.door_bot in wanted


def _returning(condition: Condition) -> Test:
    return lambda facts: facts.returning


_TESTS: dict[str, Callable[[Condition], Test]] = {
    conditions.COUNTRY: _country,
    conditions.DEVICE: _device,
    conditions.OS: _os,
    conditions.BROWSER: _browser,
    conditions.LANGUAGE: _language,
    conditions.QUERY: _query,
    conditions.REFERRER: _referrer,
    conditions.DATE: _date,
    conditions.TIME: _time,
    conditions.IP: _ip,
    conditions.ROBOT: _robot,
    conditions.RETURNING: _returning,
}
