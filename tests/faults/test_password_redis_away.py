"""Redis gone or hung: nobody's password is checked, as nobody's tries are counted; and it is said in time."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from core.contracts.link_snapshot import LinkSnapshot
from tests.tracker_quart.conftest import CHROME, HASH, URL
from tests.tracker_quart.rig import LIMIT_S, Trackers, rig, wait_until

pytestmark = pytest.mark.faults


def give(trackers: Trackers, password: str) -> tuple[int, str, str]:
    """Status, Retry-After and body of what is answered to a password."""
    request = urllib.request.Request(
        f"{trackers.url}/secret", data=f"password={password}".encode(), headers={"User-Agent": CHROME}
    )
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(request, timeout=LIMIT_S) as answer:
            raise AssertionError(answer.status)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers.get("retry-after", ""), answer.read().decode()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_it_checks_no_password_while_redis_is_away(tmp_path: Path, fault: str) -> None:
    with rig(tmp_path) as (valkey, trackers):
        valkey.publisher.link("secret", LinkSnapshot(link_id=11, url=URL, password_hash=HASH))
        assert trackers.get("/secret")[0] == 423
        assert [give(trackers, password)[0] for password in ("abacaxi", "manga")] == [303, 423]
        valkey.kill() if fault == "killed" else valkey.hang()
        for password in ("abacaxi", "manga"):
            status, retry_after, page = give(trackers, password)
            assert (status, retry_after) == (503, "5")
            assert "We can not check passwords right now" in page
        assert trackers.get("/secret")[0] == 423
        valkey.start() if fault == "killed" else valkey.resume()
        wait_until(lambda: give(trackers, "abacaxi")[0] == 303, "opened again")
        assert give(trackers, "manga")[0] == 423
