"""How known networks and shops send conversions: a source starts from one of these, and may be changed afterwards.

Names of parameters, statuses and macros are those of the networks' public documentation; where it does not say, or says
it differently from one version to the next, the preset's note tells what is inferred. Pure data.
"""

from dataclasses import dataclass

from core.domain.conversions import APPROVED, IGNORE, PENDING, REFUNDED, REJECTED, UPDATE
from core.domain.reading import IGNORE as IGNORED
from core.domain.reading import REBILL
from core.domain.sources import SignatureSettings, SourceSettings

CLICK_ID = "{clickid}"
"""Where the click id stands in a preset's body."""


@dataclass(frozen=True, slots=True)
class Preset:
    """`query` is what is pasted behind the postback URL, in the network's own macros ("" where it sends a body of its
    own: then `body` is one, with CLICK_ID where the click id stands). `click_param` is the parameter of the network's
    own links that takes our click id along and gives it back. `note` says what a person must know, and what of all this
    is inferred."""

    name: str
    title: str
    settings: SourceSettings
    query: str = ""
    body: str = ""
    method: str = "GET"
    click_param: str = "clickid"
    note: str = ""


def preset_of(name: str) -> Preset:
    """The preset with this name; the plain one for a name that no release knows (any more)."""
    return PRESETS.get(name, PRESETS["plain"])


OWN_NAMES = (
    "click_id",
    "transaction_id",
    "amount",
    "currency",
    "status",
    "event",
    "customer_id",
    "coupon",
)
"""Fields that the script for shops' pages sends by these names."""


def _fields(**names: str) -> dict[str, tuple[str, ...]]:
    """Each field with the names that it may come in, parted by blanks."""
    return {field: tuple(text.split()) for field, text in names.items()}


def _fields_and_own(**names: str) -> dict[str, tuple[str, ...]]:
    """As `_fields`, and last of each our own name for it, unless the network means something else by that."""
    fields = _fields(**names)
    taken = {name for parameters in fields.values() for name in parameters}
    for name in OWN_NAMES:
        if name not in taken:
            fields[name] = (*fields.get(name, ()), name)
    return fields


_COMMON = {
    "approved": APPROVED,
    "approve": APPROVED,
    "confirmed": APPROVED,
    "paid": APPROVED,
    "sale": APPROVED,
    "complete": APPROVED,
    "completed": APPROVED,
    "success": APPROVED,
    "aprovado": APPROVED,
    "pago": APPROVED,
    "pending": PENDING,
    "hold": PENDING,
    "lead": PENDING,
    "wait": PENDING,
    "waiting": PENDING,
    "open": PENDING,
    "pendente": PENDING,
    "rejected": REJECTED,
    "reject": REJECTED,
    "declined": REJECTED,
    "cancelled": REJECTED,
    "canceled": REJECTED,
    "cancel": REJECTED,
    "invalid": REJECTED,
    "trash": REJECTED,
    "cancelado": REJECTED,
    "recusado": REJECTED,
    "refunded": REFUNDED,
    "refund": REFUNDED,
    "chargeback": REFUNDED,
    "reembolsado": REFUNDED,
    "rebill": REBILL,
}
"""Words that mean the same wherever they are used; for senders whose own words are free text."""

_PLAIN = Preset(
    name="plain",
    title="Plain",
    settings=SourceSettings(
        fields=_fields(
            click_id="click_id clickid cid subid sub_id cnv_id rastro_id rid external_id externalid aff_sub sub1 "
            "clickref",
            transaction_id="transaction_id tid txid order_id order invoice_id invoiceid transaction pedido",
            amount="amount payout revenue sum value total valor",
            currency="currency cnv_currency moeda",
            status="status cnv_status type",
            event="event event_name et goal",
            cost="cost",
            customer_id="customer_id customer",
            coupon="coupon voucher",
            time="time timestamp",
        ),
        statuses=_COMMON,
    ),
    query="click_id={click_id}&transaction_id={order_id}&amount={amount}&currency={currency}&status={status}",
    note="For a shop or a system of your own, and for networks without a preset: it takes the usual spellings of every "
    "parameter. Replace what stands in braces by what your system fills in.",
)

_KEITARO = Preset(
    name="keitaro",
    title="Keitaro",
    settings=SourceSettings(
        fields=_fields_and_own(
            click_id="subid external_id clickid",
            transaction_id="tid",
            amount="payout revenue",
            currency="currency",
            status="status",
            cost="cost",
        ),
        statuses={
            "sale": APPROVED,
            "lead": PENDING,
            "rejected": REJECTED,
            "trash": REJECTED,
            "rebill": REBILL,
        },
        duplicates=UPDATE,
    ),
    query="subid={external_id}&status={status}&payout={revenue}&tid={tid}",
    click_param="external_id",
    note="Paste it as S2S postback of the campaign or traffic source; the click id arrives there as external_id. A "
    "link to a network that knows Keitaro's postbacks (subid, payout, tid) can call the same URL with its own macros. "
    "Keitaro sends amounts in the tracker's currency: name it under Money. Inferred: “trash” counts as rejected.",
)

_VOLUUM = Preset(
    name="voluum",
    title="Voluum",
    settings=SourceSettings(
        fields=_fields_and_own(
            click_id="cid clickid externalid",
            transaction_id="txid",
            amount="payout",
            currency="currency",
            event="et",
        ),
        duplicates=IGNORE,
    ),
    query="cid={externalid}&payout={payout}&txid={transaction.id}&et={conversion.type}",
    click_param="externalid",
    note="Paste it as postback URL of the traffic source. As in Voluum, the same click without a transaction id counts "
    "once. Inferred: the macros of transaction and conversion type.",
)

_BINOM = Preset(
    name="binom",
    title="Binom",
    settings=SourceSettings(
        fields=_fields_and_own(
            click_id="cnv_id externalid clickid",
            transaction_id="txid order_id",
            amount="payout",
            currency="cnv_currency",
            status="cnv_status cnv_status2",
        ),
        statuses=_COMMON,
        duplicates=UPDATE,
    ),
    query="cnv_id={externalid}&payout={payout}&cnv_status={cnv_status}&cnv_currency={cnv_currency}",
    click_param="externalid",
    note="Paste it as postback URL of the traffic source, or as S2S postback of the campaign. Statuses are free text "
    "in Binom: add yours. Inferred: the macro of the payout.",
)

_REDTRACK = Preset(
    name="redtrack",
    title="RedTrack",
    settings=SourceSettings(
        fields=_fields_and_own(
            click_id="clickid ref_id",
            transaction_id="transaction_id order_id txid",
            amount="sum payout",
            currency="currency",
            status="status",
            event="type",
        ),
        statuses=_COMMON,
        duplicates=UPDATE,
    ),
    query="clickid={ref_id}&sum={payout}&type={type}&status={status}",
    click_param="ref_id",
    note="Paste it as postback URL of the traffic channel. RedTrack's conversion type becomes the event. Inferred: "
    "ref_id as the parameter of the click id, and the macros of payout, type and status.",
)

_EVERFLOW = Preset(
    name="everflow",
    title="Everflow",
    settings=SourceSettings(
        fields=_fields_and_own(
            click_id="sub1 click_id clickid transaction_id",
            transaction_id="tid conversion_id order_id",
            amount="amount",
            currency="currency",
            status="status",
            event="event adv_event_id event_id",
            coupon="coupon_code",
        ),
        statuses={
            "approved": APPROVED,
            "pending": PENDING,
            "on_hold": PENDING,
            "on hold": PENDING,
            "rejected": REJECTED,
            "invalid": REJECTED,
        },
        duplicates=IGNORE,
    ),
    query="sub1={sub1}&tid={transaction_id}&amount={payout_amount}&event={event_name}",
    click_param="sub1",
    note="Paste it as partner postback. A system that calls Everflow's own URL (transaction_id, amount, adv_event_id) "
    "can call this one instead. Verification tokens are not checked: the token in the URL is the secret. Inferred: the "
    "macro of the payout; conversions without a status count as approved.",
)

_TUNE = Preset(
    name="tune",
    title="TUNE",
    settings=SourceSettings(
        fields=_fields_and_own(
            click_id="aff_sub click_id clickid transaction_id",
            transaction_id="tid adv_sub order_id",
            amount="amount payout revenue",
            currency="currency",
            status="status",
            event="goal_ref goal_id goal",
            coupon="promo_code",
        ),
        statuses={"approved": APPROVED, "pending": PENDING, "rejected": REJECTED},
        duplicates=IGNORE,
        reply="success=true;",
    ),
    query="aff_sub={aff_sub}&tid={transaction_id}&amount={payout}&currency={currency}",
    click_param="aff_sub",
    note="Paste it as postback of the partner (HasOffers is the same). Answered “success=true;”, as TUNE does. A "
    "system that calls TUNE's own URL (transaction_id, amount, adv_sub) can call this one instead; security tokens "
    "are not checked. Inferred: conversions without a status count as approved.",
)

_AWIN = Preset(
    name="awin",
    title="Awin",
    settings=SourceSettings(
        fields=_fields_and_own(
            click_id="clickref",
            transaction_id="transaction_id transactionId",
            amount="commission",
            currency="currency transactionCurrency",
            status="status",
            time="date transactionDate",
        ),
        statuses={
            "pending": PENDING,
            "approved": APPROVED,
            "confirmed": APPROVED,
            "declined": REJECTED,
            "deleted": REJECTED,
        },
        default_status=PENDING,
        duplicates=UPDATE,
    ),
    query="clickref=!!!clickRef!!!&transaction_id=!!!transactionId!!!&commission=!!!commission!!!"
    "&currency=!!!transactionCurrency!!!&sale=!!!transactionAmount!!!",
    click_param="clickref",
    note="Paste it as callback URL of Transaction Notifications, method GET. Awin tells of a transaction when it is "
    "recorded, so it starts as pending; validate it later with an upload. The amount is your commission. Inferred: "
    "the names of the placeholders for id, currency and sale amount.",
)

_CLICKBANK = Preset(
    name="clickbank",
    title="ClickBank",
    settings=SourceSettings(
        fields=_fields_and_own(
            click_id="tid clickid",
            transaction_id="order_id receipt",
            amount="amount",
            currency="currency",
            status="type",
        ),
        statuses={
            "sale": APPROVED,
            "purchase": APPROVED,
            "upsell": APPROVED,
            "jv_sale": APPROVED,
            "bill": REBILL,
            "jv_bill": REBILL,
            "rebill": REBILL,
            "rfnd": REFUNDED,
            "refund": REFUNDED,
            "cgbk": REFUNDED,
            "chargeback": REFUNDED,
            "insf": REJECTED,
            "fee": IGNORED,
            "cancel-rebill": IGNORED,
            "uncancel-rebill": IGNORED,
            "test": IGNORED,
            "test_sale": IGNORED,
            "test_bill": IGNORED,
            "test_rfnd": IGNORED,
        },
        currency="USD",
        duplicates=UPDATE,
    ),
    query="tid={tid}&order_id={order_id}&amount={affiliate_earnings}&currency={currency}&type={event_type}",
    click_param="tid",
    note="Paste it as S2S postback (Postback/Pixels), and hand the click id over as tid. Instant notifications (INS) "
    "come encrypted and can not be read. Inferred: the macros other than tid; compare them with ClickBank's list.",
)

_HOTMART = Preset(
    name="hotmart",
    title="Hotmart",
    settings=SourceSettings(
        fields=_fields(
            click_id="data.purchase.tracking.source_sck data.purchase.origin.sck data.purchase.tracking.source "
            "data.purchase.origin.src data.purchase.sckPaymentLink",
            transaction_id="data.purchase.transaction",
            amount="data.purchase.price.value data.purchase.full_price.value",
            currency="data.purchase.price.currency_value data.purchase.full_price.currency_value",
            status="event",
            customer_id="data.subscription.subscriber.code",
            coupon="data.purchase.offer.coupon_code",
            time="creation_date",
        ),
        statuses={
            "purchase_approved": APPROVED,
            "purchase_complete": APPROVED,
            "purchase_billet_printed": PENDING,
            "purchase_delayed": PENDING,
            "purchase_canceled": REJECTED,
            "purchase_expired": REJECTED,
            "purchase_refunded": REFUNDED,
            "purchase_chargeback": REFUNDED,
            "purchase_protest": IGNORED,
            "purchase_out_of_shopping_cart": IGNORED,
            "subscription_cancellation": IGNORED,
            "switch_plan": IGNORED,
            "update_subscription_charge_date": IGNORED,
            "club_first_access": IGNORED,
            "club_module_completed": IGNORED,
        },
        duplicates=UPDATE,
    ),
    body='{"id":"00907e72-2694-4d21-ae59-bee19e74f030","event":"PURCHASE_APPROVED","version":"2.0.0",'
    '"data":{"purchase":{"transaction":"HP16015479281022","status":"APPROVED",'
    '"price":{"value":1500.5,"currency_value":"BRL"},"tracking":{"source_sck":"{clickid}"}}}}',
    method="POST",
    click_param="sck",
    note="Paste it as URL of a webhook, version 2.0.0, without anything behind it, and hand the click id over as sck. "
    "Hotmart does not sign: its hottok is one fixed word for the whole account, so it is not asked for; the token in "
    "the URL is the secret. Inferred: where the click id stands; each place that was seen is looked at.",
)

_SHOPIFY = Preset(
    name="shopify",
    title="Shopify",
    settings=SourceSettings(
        fields=_fields(
            click_id="note_attributes[name=clickid].value note_attributes[name=click_id].value "
            "note_attributes[name=rastro_id].value",
            transaction_id="id",
            amount="total_price",
            currency="currency",
            status="financial_status",
            customer_id="customer.id",
            coupon="discount_codes.0.code",
        ),
        statuses={
            "paid": APPROVED,
            "partially_refunded": APPROVED,
            "pending": PENDING,
            "authorized": PENDING,
            "partially_paid": PENDING,
            "voided": REJECTED,
            "expired": REJECTED,
            "refunded": REFUNDED,
        },
        default_status="",
        duplicates=UPDATE,
        signature=SignatureSettings(header="X-Shopify-Hmac-Sha256", encoding="base64"),
    ),
    body='{"id":820982911946154508,"name":"#1001","total_price":"199.00","currency":"USD","financial_status":"paid",'
    '"customer":{"id":207119551},"note_attributes":[{"name":"clickid","value":"{clickid}"}]}',
    method="POST",
    note="Paste it as webhook for orders (payment, update, cancellation), format JSON, without anything behind it, and "
    "add the webhook's signing secret. The theme must keep the click id as cart attribute “clickid”. Other shops "
    "that send orders as JSON start from here, too.",
)

PRESETS = {
    preset.name: preset
    for preset in (
        _PLAIN,
        _KEITARO,
        _VOLUUM,
        _BINOM,
        _REDTRACK,
        _EVERFLOW,
        _TUNE,
        _AWIN,
        _CLICKBANK,
        _HOTMART,
        _SHOPIFY,
    )
}
"""By name, in the order in which they are offered."""
