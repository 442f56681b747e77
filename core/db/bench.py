"""How a batch of postbacks is judged.

What it names is looked up and locked at once; then each postback, in the order of receipt, meets the conversions as
those before it left them. That a conversion is made once is the database's promise (`uq_conversions_once`), whoever
else inserts it at the same time.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from core.db.cases import Case, new_row, say_repeated, standing_in_words
from core.db.conversion_rows import NOBODY, WITHDRAW, Cause, ConversionRow, Kept, Key, insert, load, write
from core.db.conversions import SourceTest
from core.db.credits import Credit, find_clicks, links_of, touches_of
from core.db.postback_store import PostbackRow
from core.db.texts import storable
from core.domain.attribution import Touch, choose, is_within, next_try, time_of
from core.domain.click_ref import EMPTY
from core.domain.conversions import (
    CONVERSION,
    COUNTING,
    IGNORED,
    LATE,
    NO_CLICK,
    ONE_MORE,
    REBILL,
    REFUSED,
    REJECTED,
    REPEATED,
    TEST,
    UNREADABLE,
    UPDATED,
    WAITING,
    Standing,
    follow,
)
from core.domain.reading import IGNORE, read, received_at
from core.domain.sources import (
    CLICK,
    COUPON,
    CUSTOMER,
    FROM_PARAMETER,
    SourceSettings,
    payout_of,
)

_STANDING = (CONVERSION, LATE, UPDATED)


class Bench:
    """Judges one batch."""

    def __init__(
        self,
        connection: Connection,
        sources: Mapping[int, SourceSettings],
        now: datetime,
        report_currency: str,
    ) -> None:
        self._connection = connection
        self._sources = sources
        self._now = now
        self._report_currency = report_currency
        self._by_key: dict[Key, list[Kept]] = {}
        self._by_id: dict[int, Kept] = {}

    def open(self, row: PostbackRow) -> Case:
        """Read a postback, and decide what needs nobody else."""
        event = row.event
        known = self._sources.get(event.source_id)
        settings = known or SourceSettings()
        cause = Cause(min(received_at(event, now=self._now), self._now), row.id)
        case = Case(row, read(event, settings, now=self._now), settings, cause)
        problem = case.reading.unreadable
        if event.refused:
            case.say(REFUSED, storable(event.refused, 64))  # one that a newer tracker knows, too
        elif known is None:
            case.say(REFUSED, "source_gone")
        elif problem is not None:
            case.say(UNREADABLE, problem.code, field=problem.field, value=problem.value)
        return case

    def decide(self, cases: Sequence[Case]) -> None:
        """Give every case, oldest first, its verdict, and write what they brought about."""
        self._set_aside(cases)
        self._name(case for case in cases if not case.verdict)
        self._load(
            (case.key for case in cases if case.key),
            (case.row.conversion_id for case in cases if case.row.conversion_id),
        )
        self._move([case for case in cases if self._is_new(case) and self._has_made(case)])
        self._credit_clicks([case for case in cases if self._is_new(case)])
        self._make([case for case in cases if case.credit])
        self._credit_others([case for case in cases if self._is_new(case)])
        self._make([case for case in cases if case.credit and not case.kept])
        self._take_back([case for case in cases if case.verdict])
        more: list[Kept] = []
        for case in cases:
            if case.key and not case.verdict:
                self._follow(case, more)
        self._take_back(cases)
        insert(self._connection, more, now=self._now, report_currency=self._report_currency)
        write(self._connection, self._all(), now=self._now, report_currency=self._report_currency)

    def changes(self) -> list[tuple[int, int]]:
        """The versions of conversions that were written, as (id, version)."""
        return [(kept.row.id, version.version) for kept in self._all() for version in kept.versions]

    def _set_aside(self, cases: Sequence[Case]) -> None:
        """Those of live tests, and those with a status that their source ignores."""
        named = {case.reading.click_id for case in cases if case.reading.click_id and not case.verdict}
        found = select(SourceTest.click_id).where(SourceTest.click_id.in_([uuid.UUID(one) for one in named]))
        tests = {str(one) for one in self._connection.scalars(found)} if named else set()
        for case in cases:
            if case.verdict:
                continue
            if case.reading.click_id in tests:
                case.say(TEST, "test")
            elif case.reading.status == IGNORE:
                case.say(IGNORED, "ignored_status")

    def _name(self, cases: Iterable[Case]) -> None:
        """Give cases their keys. Without a click nothing but a transaction id tells two sales apart."""
        for case in cases:
            reading = case.reading
            if not reading.click_id and not reading.transaction_id:
                code = reading.click_problem
                known_otherwise = reading.customer_id or reading.coupon
                code = "no_click_id" if code in ("", EMPTY) else code
                case.say(NO_CLICK, "no_transaction" if known_otherwise and code == "no_click_id" else code)
                continue
            click = uuid.UUID(reading.click_id) if reading.click_id else NOBODY
            case.key = (case.row.event.source_id, click, reading.transaction_id, reading.event)

    def _load(self, keys: Iterable[Key | None], ids: Iterable[int | None] = ()) -> None:
        for kept in load(self._connection, {key for key in keys if key}, {one for one in ids if one}):
            self._keep(kept)

    def _keep(self, kept: Kept) -> None:
        if kept.row.id not in self._by_id:
            self._by_id[kept.row.id] = kept
            family = self._by_key.setdefault(kept.row.key, [])
            family.append(kept)
            family.sort(key=lambda one: one.row.repeat)

    def _is_new(self, case: Case) -> bool:
        """Whether there is no conversion yet for what a case names."""
        return bool(case.key and not case.verdict and not case.credit) and case.key not in self._by_key

    def _own(self, case: Case) -> Kept | None:
        """The conversion that a postback had made or changed when it was judged before."""
        own = self._by_id.get(case.row.conversion_id or 0)
        stands = case.row.verdict in _STANDING
        return own if own is not None and (stands or own.has_change_of(case.row.id)) else None

    def _has_made(self, case: Case) -> bool:
        """Whether a postback had made its conversion when it was judged before, even if it has taken it back since."""
        own = self._own(case)
        return own is not None and own.maker == case.row.id

    def _own_in(self, family: Sequence[Kept], case: Case) -> Kept | None:
        """That of a family which is a postback's own: the one that it has made, else the one that it has changed. One
        more of a key is nobody's where the source does not want it any more."""
        wanted = family if case.settings.duplicates in ONE_MORE else family[:1]
        made = next((one for one in wanted if one.maker == case.row.id), None)
        own = self._own(case)
        return made or (own if own in wanted else None)

    def _move(self, cases: Sequence[Case]) -> None:
        """Let postbacks that are read otherwise than before keep the conversions that they had made, under new keys;
        what a person has set since stays, and other postbacks are judged by their own keys. Written at once: others may
        want the keys that are left."""
        self._credit_clicks(cases)
        self._credit_others([case for case in cases if self._is_new(case)])
        moved = []
        for case in cases:
            own = self._own(case)
            if own is None or not case.credit or case.key in self._by_key:
                continue
            case.before = standing_in_words(own)
            self._by_key[own.row.key].remove(own)
            if not self._by_key[own.row.key]:
                del self._by_key[own.row.key]
            own.change(case.cause, "correct", self._moved_values(case, own))
            self._by_key[own.row.key] = [own]
            self._made(case, own)
            case.why = {**case.why, "corrected": True}
            moved.append(own)
        write(self._connection, moved, now=self._now, report_currency=self._report_currency)

    def _moved_values(self, case: Case, own: Kept) -> dict[str, Any]:
        left_out = {"id", "version", "rate", "report_revenue", "report_payout", "report_cost"}
        if own.moved.postback == NOBODY:
            left_out.add("status")
        if own.priced.postback == NOBODY:
            left_out |= {"revenue", "currency", "payout", "cost"}
        fresh = new_row(case, self._report_currency)
        return {
            name: getattr(fresh, name) for name in ConversionRow.__struct_fields__ if name not in left_out
        }

    def _credit_clicks(self, cases: Sequence[Case]) -> None:
        """Credit cases to the clicks that they name."""
        named = {
            case.key[1]
            for case in cases
            if case.key and case.key[1] != NOBODY and CLICK in case.settings.attribution
        }
        clicks = find_clicks(self._connection, named)
        for case in cases:
            click_id = case.key[1] if case.key else NOBODY
            if click_id == NOBODY:
                problem = case.reading.click_problem
                case.otherwise = NO_CLICK, {"code": "no_click_id" if problem in ("", EMPTY) else problem}
                continue
            clicked_at = time_of(click_id)
            facts = {"clicked_at": clicked_at.isoformat()}
            click = clicks.get(click_id)
            if click is not None:
                if case.settings.campaigns and click.campaign_id not in case.settings.campaigns:
                    case.say(REFUSED, "other_campaign", link_id=click.touch.link_id)
                    continue
                within = is_within(clicked_at, case.reading.at, case.settings.window_days)
                case.credit = Credit(
                    click.touch, CLICK, not within, facts | ({"bot": click.bot} if click.bot else {})
                )
                continue
            own = self._own(case)
            if own is not None and own.row.click_id == click_id:
                case.credit = self._credit_of(own, case)  # the click may be gone, what is known of it is not
            if case.credit:
                continue
            case.otherwise = NO_CLICK, {"code": "unknown_click", **facts}
            case.next_try = next_try(
                clicked_at, received=case.cause.at, attempts=case.row.attempts, now=self._now
            )
            if case.next_try is not None and CLICK in case.settings.attribution:
                case.say(WAITING, "click_not_stored_yet", **facts, next_try=case.next_try.isoformat())

    def _credit_of(self, own: Kept, case: Case) -> Credit | None:
        row = own.row
        if row.link_id is None or row.clicked_at is None:
            return None
        within = is_within(row.clicked_at, case.reading.at, case.settings.window_days)
        touch = Touch(row.click_id, row.link_id, row.rule, row.variant, row.clicked_at)
        return Credit(touch, row.attributed_by, not within)

    def _credit_others(self, cases: Sequence[Case]) -> None:
        """Credit cases without a click to that of the customer before, or to the coupon's link, where their source
        allows it."""
        customers = {case.reading.customer_id for case in cases if CUSTOMER in case.settings.attribution}
        coupons = {case.reading.coupon for case in cases if COUPON in case.settings.attribution}
        by_customer = touches_of(self._connection, customers - {""})
        by_coupon = links_of(self._connection, coupons - {""})
        for case in cases:
            reading, settings = case.reading, case.settings
            if CUSTOMER in settings.attribution and reading.customer_id:
                touches = by_customer.get((case.row.event.source_id, reading.customer_id), ())
                touch = choose(touches, at=reading.at, window_days=settings.window_days, model=settings.model)
                if touch is not None:
                    case.credit = Credit(touch, CUSTOMER)
                    continue
            if COUPON in settings.attribution and reading.coupon in by_coupon:
                link_id, campaign_id = by_coupon[reading.coupon]
                if settings.campaigns and campaign_id not in settings.campaigns:
                    case.say(REFUSED, "other_campaign", link_id=link_id)
                else:
                    case.credit = Credit(Touch(None, link_id, 0, 0, reading.at), COUPON)

    def _make(self, cases: Sequence[Case]) -> None:
        """Make the conversion of the first case of each key; whoever else makes it meanwhile is waited for, and theirs
        is the one."""
        while cases:
            first: dict[Key, Case] = {}
            for case in cases:
                if case.key and case.key not in self._by_key:
                    first.setdefault(case.key, case)
            made = {
                key: Kept.made(new_row(case, self._report_currency), case.cause)
                for key, case in first.items()
            }
            fresh = insert(
                self._connection,
                [made[key] for key in sorted(made)],
                now=self._now,
                report_currency=self._report_currency,
            )
            for kept in fresh:
                self._keep(kept)
                self._made(first[kept.row.key], kept)
            self._load(key for key in made if key not in self._by_key)
            cases = [case for case in cases if case.key not in self._by_key]

    def _made(self, case: Case, kept: Kept) -> None:
        credit = case.credit
        facts = dict(credit.facts) if credit else {}
        code = {CUSTOMER: "by_customer", COUPON: "by_coupon"}.get(credit.by if credit else "", "matched")
        case.kept, case.changed = kept, True
        if kept.row.is_late:
            case.say(LATE, "outside_window", days=case.settings.window_days, **facts)
        else:
            case.say(CONVERSION, code, **facts)

    def _follow(self, case: Case, more: list[Kept]) -> None:
        """Judge a case whose conversion is there (or can not be made)."""
        family = self._by_key.get(case.key) if case.key else None
        if not family:
            case.verdict, case.why = case.otherwise
            return
        own = self._own_in(family, case)
        if own is not None and self._has_a_say(case, own):
            self._correct(case, own)
            return
        kept = own or self._last(family, case)
        case.kept, case.before = kept, standing_in_words(kept)
        row, reading = kept.row, case.reading
        came = Standing(reading.status, reading.amount, reading.currency or self._report_currency)
        before = Standing(row.status, row.revenue, row.currency)
        step = follow(before, came, duplicates=case.settings.duplicates)
        if step.one_more and own is None:
            self._one_more(case, kept, more)
            return
        after = step.after
        is_older = (after.status != row.status and case.cause < kept.moved) or (
            (after.amount, after.currency) != (row.revenue, row.currency) and case.cause < kept.priced
        )
        stands = own is not None and case.row.verdict in _STANDING
        if stands and (step.verdict != UPDATED or is_older):
            case.verdict, case.why = case.row.verdict, dict(case.row.why)
            return
        if step.verdict == REPEATED or is_older:
            say_repeated(case, "older" if is_older else step.code, before, came)
            return
        values: dict[str, Any] = {"status": after.status}
        if (after.amount, after.currency) != (row.revenue, row.currency):
            values |= self._money(case, after.amount or Decimal(0), after.currency)
            if case.settings.payout_kind == FROM_PARAMETER and reading.payout is None:
                del values["payout"]  # nothing was said of it
        case.changed = kept.change(case.cause, "update", values)
        case.say(UPDATED, step.code, **{"from": before.status, "to": after.status})

    def _last(self, family: Sequence[Kept], case: Case) -> Kept:
        """The one of a family that a further postback is for: the last that was not taken back, but the first for a
        postback that was one more of the key and is not any more."""
        if any(one.maker == case.row.id for one in family):
            return family[0]
        return next((one for one in reversed(family) if not one.is_withdrawn), family[0])

    def _has_a_say(self, case: Case, own: Kept) -> bool:
        """Whether a conversion is as it is because of this postback, at least in part."""
        return case.row.id in (own.maker, own.moved.postback, own.priced.postback)

    def _money(self, case: Case, revenue: Decimal, currency: str) -> dict[str, Any]:
        reading = case.reading
        values: dict[str, Any] = {
            "revenue": revenue,
            "currency": currency,
            "payout": payout_of(case.settings, revenue=revenue, said=reading.payout),
        }
        return values if reading.cost is None else {**values, "cost": reading.cost}

    def _one_more(self, case: Case, last: Kept, more: list[Kept]) -> None:
        """One more conversion under the key of an earlier one, credited as that is."""
        row = new_row(case, self._report_currency)
        row.repeat = self._by_key[row.key][-1].row.repeat + 1
        row.is_rebill = case.reading.is_rebill or case.settings.duplicates == REBILL
        row.is_late = not is_within(last.row.clicked_at or row.at, row.at, case.settings.window_days)
        for name in ("click_id", "link_id", "rule", "variant", "clicked_at", "attributed_by"):
            setattr(row, name, getattr(last.row, name))
        kept = Kept.made(row, case.cause)
        self._by_key[row.key].append(kept)
        more.append(kept)
        self._made(case, kept)
        case.why = {**case.why, "repeat": row.repeat}
        case.before = {}

    def _correct(self, case: Case, own: Kept) -> None:
        """A postback that is judged again: what it had set, and nobody after it, is set as it is read now."""
        row, reading = own.row, case.reading
        case.kept, case.before = own, standing_in_words(own)
        made_it = own.maker == case.row.id
        values: dict[str, Any] = {}
        if own.moved.postback == case.row.id:
            values["status"] = reading.status
        if own.priced.postback == case.row.id and (made_it or reading.amount is not None):
            currency = reading.currency or self._report_currency
            values |= self._money(case, reading.amount or Decimal(0), currency)
        if made_it:
            values |= {
                "at": reading.at,
                "customer_id": reading.customer_id,
                "coupon": reading.coupon,
                "fields": dict(reading.fields),
                "is_rebill": row.is_rebill if row.repeat else reading.is_rebill,
            }
            if row.clicked_at is not None and row.attributed_by == CLICK:
                values["is_late"] = not is_within(row.clicked_at, reading.at, case.settings.window_days)
        case.changed = own.change(case.cause, "correct", values)
        stands = case.row.verdict in _STANDING
        case.verdict, case.why = case.row.verdict if stands else UPDATED, dict(case.row.why)
        if made_it:
            case.verdict = LATE if row.is_late else CONVERSION
        if case.changed or not stands:
            case.say(case.verdict, "outside_window" if row.is_late else "corrected")

    def _take_back(self, cases: Sequence[Case]) -> None:
        """Take back what postbacks had brought about and would not now; latest first, so that what one
        of them has built on another is no reason to leave it."""
        for case in reversed(cases):
            if case.verdict != TEST:
                self._withdraw(case)

    def _withdraw(self, case: Case) -> None:
        """Take back what a postback had brought about elsewhere, unless somebody has spoken since: a conversion that it
        had made is rejected; of one that it had changed, what was set before counts again."""
        family = self._by_key.get(case.key, []) if case.key else []
        known = [one for one in (self._own(case), *family) if one is not None]
        for own in dict.fromkeys(known):
            if own is case.kept or not own.has_change_of(case.row.id):
                continue
            before, fact = standing_in_words(own), "withdrawn"
            if own.maker != case.row.id:
                taken, fact = own.undo(case.cause), "undone"
                if own.has_change_of(case.row.id):
                    case.why = {**case.why, "changed_since": own.row.id}
            elif own.moved.postback == case.row.id and own.row.status in COUNTING:
                taken = own.change(case.cause, WITHDRAW, {"status": REJECTED})
            else:
                continue
            if taken:
                if case.kept is None:
                    case.kept, case.before = own, before
                case.changed = True
                case.why = {**case.why, fact: own.row.id}

    def _all(self) -> list[Kept]:
        made = [one for family in self._by_key.values() for one in family]
        return list({id(one): one for one in (*self._by_id.values(), *made)}.values())
