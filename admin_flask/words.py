"""What pages call things: reasons why a click was kept and not counted, devices, how a conversion stands, verdicts,
fields of a postback."""

from flask_babel import gettext, ngettext

from admin_flask.filters import country, number


def why_kept(reason: str) -> str:
    """Why one click was not counted: the robot's reason, or what the link answered."""
    return {
        "head": gettext("it only asked whether the link answers"),
        "prefetch": gettext("a browser or an app loaded it ahead"),
        "empty_agent": gettext("it did not say what it is"),
        "preview": gettext("an app looked ahead to show a preview of the link"),
        "scanner": gettext("a scanner or link checker, by its own name"),
        "agent": gettext("a robot, by its own name"),
        "network": gettext("it came from a network of robots"),
        "paused": gettext("the link was paused"),
        "gone": gettext("the link was archived or deleted"),
        "scheduled": gettext("the link had not started"),
        "expired": gettext("the link had ended"),
        "capped": gettext("the link had reached its limit"),
        "locked": gettext("the link asked for its password"),
    }.get(reason, reason)


def counted_robots(reason: str, count: int) -> str:
    """How many robots of a kind: "4,118 link checks"."""
    n = number(count)
    return {
        "head": ngettext("%(n)s link check", "%(n)s link checks", count, n=n),
        "prefetch": gettext("%(n)s loaded ahead", n=n),
        "empty_agent": gettext("%(n)s without a name", n=n),
        "preview": ngettext("%(n)s preview", "%(n)s previews", count, n=n),
        "scanner": ngettext("%(n)s by a scanner", "%(n)s by scanners", count, n=n),
        "agent": ngettext("%(n)s named robot", "%(n)s named robots", count, n=n),
        "network": gettext("%(n)s from networks of robots", n=n),
    }.get(reason, f"{n} {reason}")


def value_name(kind: str, value: str) -> str:
    """A value of a breakdown as people read it."""
    if not value:
        return {"referrer_host": gettext("No referrer"), "country": gettext("Unknown")}.get(
            kind, gettext("None") if kind.startswith("utm_") else gettext("Unknown")
        )
    if kind == "country":
        return country(value)
    if kind == "device":
        return device(value)
    return value


def device(value: str) -> str:
    """A kind of device."""
    return {
        "mobile": gettext("Mobile"),
        "tablet": gettext("Tablet"),
        "desktop": gettext("Desktop"),
        "tv": gettext("TV"),
    }.get(value, value)


def conversion_status(status: str) -> str:
    """How a conversion stands."""
    return {
        "pending": gettext("Pending"),
        "approved": gettext("Approved"),
        "rejected": gettext("Rejected"),
        "refunded": gettext("Refunded"),
    }.get(status, status)


def attributed_by(how: str) -> str:
    """By what a conversion was credited to its link."""
    return {
        "click": gettext("Click id"),
        "customer": gettext("Customer"),
        "coupon": gettext("Coupon"),
        "": gettext("Nothing"),
    }.get(how, how)


def postback_verdict(verdict: str) -> str:
    """What became of a postback."""
    return {
        "new": gettext("Not judged yet"),
        "conversion": gettext("Conversion"),
        "update": gettext("Update"),
        "repeated": gettext("Repeated"),
        "waiting": gettext("Waits for its click"),
        "no_click": gettext("No click found"),
        "late": gettext("Too late"),
        "refused": gettext("Refused"),
        "unreadable": gettext("Could not be read"),
        "ignored": gettext("Ignored"),
        "test": gettext("Test"),
    }.get(verdict, verdict)


def field_word(field: str) -> str:
    """What a parameter is read as."""
    return {
        "click_id": gettext("Click id"),
        "transaction_id": gettext("Order"),
        "amount": gettext("Amount"),
        "currency": gettext("Currency"),
        "status": gettext("Status"),
        "event": gettext("Event"),
        "payout": gettext("Payout"),
        "cost": gettext("Cost"),
        "customer_id": gettext("Customer"),
        "coupon": gettext("Coupon"),
        "time": gettext("Time"),
    }.get(field, field)


def note_word(note: str) -> str:
    """What is said beside a parameter."""
    return {
        "default": gettext("default of the source"),
        "repeated": gettext("came twice, the first counts"),
        "cut": gettext("too long, cut"),
        "control_characters": gettext("unseen characters replaced"),
        "broken_encoding": gettext("broken characters replaced"),
        "literal_macro": gettext("a macro that was not filled in"),
        "prefix": gettext("without what stands before it"),
        "ambiguous": gettext("could be read otherwise"),
        "rounded": gettext("rounded"),
        "refund": gettext("negative, as of a refund"),
        "bad_time": gettext("no time that can be: when it came counts"),
    }.get(note, note)
