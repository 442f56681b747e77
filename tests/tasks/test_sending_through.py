"""From the postback to what is sent on: through the queue's handler and the sender, to a receiver."""

import threading
from urllib.parse import parse_qs

import pytest
from sqlalchemy import Engine

from core.config import Settings
from core.contracts.postback_event import encode
from core.domain.sending import SendingSettings
from tasks.postbacks import make_handler
from tasks.sending import Sender
from tests.core.db.postbacks import CLICK, make_source, postback, store_click
from tests.core.db.samples import NOW
from tests.core.db.sending_rows import make_webhook
from tests.tasks.receiver import HERE, receiving


@pytest.mark.usefixtures("clean_database")
def test_each_status_of_a_conversion_is_told_once_in_its_order(settings: Settings, engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine, query="gclid=Cj0K", country="BR", utm_source="news")
    handle = make_handler(settings, engine, process_name="test", now=lambda: NOW)
    sent = [
        encode(postback(source, subid=CLICK, tid="A-1", payout="12,50", status=status, shop="online"))
        for status in ("lead", "sale", "sale", "trash", "sale")
    ]
    with receiving() as receiver:
        macros = (
            "i={cid}&o={order}&a={amount}&s={status}&g={external_id}&f={field:shop}&u={utm_source}{country}"
        )
        url = f"{receiver.url}/?{macros}"
        with engine.begin() as connection:
            make_webhook(
                connection, url=url, settings=SendingSettings(statuses=("pending", "approved", "rejected"))
            )
        assert handle(sent[:2]) == {}
        for one in sent[2:]:
            assert handle([one]) == {}
        Sender(engine, stopping=threading.Event(), allowed=HERE, clock=lambda: NOW).step()
    told = [parse_qs(one.target.partition("?")[2]) for one in receiver.sent]
    assert [one["s"] for one in told] == [["pending"], ["approved"], ["rejected"]]
    assert told[0] == {
        "i": [CLICK],
        "o": ["A-1"],
        "a": ["12.50"],
        "s": ["pending"],
        "g": ["Cj0K"],
        "f": ["online"],
        "u": ["newsBR"],
    }
