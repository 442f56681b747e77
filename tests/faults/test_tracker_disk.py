"""Redis is away, and the disk too is full, in the way or broken: visitors are redirected, and every loss is counted."""

import resource
from pathlib import Path

import pytest

from tests.faults.books import IN_REDIS, LOST, ON_DISK, balance, held
from tests.tracker_quart.rig import Trackers, Valkey, Visitors, rig

pytestmark = pytest.mark.faults


async def lose(visitors: Visitors, trackers: Trackers, clicks: int) -> None:
    """Return once that many are lost."""
    while trackers.metric(LOST) < clicks:
        await visitors.answers(20)


def settle(visitors: Visitors, trackers: Trackers, valkey: Valkey) -> None:
    """Answered is kept and lost; from now on nothing more is lost."""
    lost = int(trackers.metric(LOST))
    assert lost > 0
    balance(visitors, trackers, valkey, lost=lost)
    assert trackers.logged("clicks.lost") > 0


async def test_it_redirects_with_a_full_spool_and_counts_the_loss(tmp_path: Path) -> None:
    with rig(tmp_path, SPOOL_MAX_MB="1") as (valkey, trackers):
        visitors = Visitors(trackers.port, padding="&x=" + "y" * 4000)

        async def scenario() -> None:
            await visitors.answers(20)
            valkey.kill()
            await lose(visitors, trackers, 50)
            valkey.start()
            await visitors.answers(20)

        await visitors.visit(8, scenario)
        settle(visitors, trackers, valkey)
        assert trackers.metric(ON_DISK) > 0
        assert trackers.logged("clicks.lost") == 1


async def test_it_redirects_without_a_folder_for_the_spool_until_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with rig(tmp_path) as (valkey, trackers):
        assert trackers.logged("spool.unusable") == 2  # of clicks and of postbacks
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(50)
            valkey.kill()
            await lose(visitors, trackers, 50)
            assert trackers.get("/readyz")[0] == 200
            trackers.spool.unlink()
            while not trackers.metric(ON_DISK):
                await visitors.answers(20)
            valkey.start()
            await visitors.answers(50)

        await visitors.visit(8, scenario)
        settle(visitors, trackers, valkey)


async def test_it_takes_back_what_a_full_disk_did_not_take_whole(tmp_path: Path) -> None:
    """No file of the tracker may grow beyond 100 kB for a while, as if the disk ended there."""
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port, padding="&x=" + "y" * 4000)
        tracker = trackers.processes[0].pid

        async def scenario() -> None:
            await visitors.answers(20)
            _, most = resource.prlimit(tracker, resource.RLIMIT_FSIZE)
            resource.prlimit(tracker, resource.RLIMIT_FSIZE, (100_000, most))
            valkey.kill()
            await lose(visitors, trackers, 50)
            resource.prlimit(tracker, resource.RLIMIT_FSIZE, (most, most))
            kept = trackers.metric(ON_DISK)
            while trackers.metric(ON_DISK) < kept + 50:
                await visitors.answers(20)
            valkey.start()
            await visitors.answers(20)

        await visitors.visit(8, scenario)
        settle(visitors, trackers, valkey)
        assert trackers.logged("spool.torn") == 0


async def test_it_sends_once_what_it_can_not_delete(tmp_path: Path) -> None:
    """The disk fails while clicks lie on it: Redis, which works, is neither blamed nor flooded."""
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port)
        aside = tmp_path / "aside"

        async def scenario() -> None:
            await visitors.answers(50)
            valkey.kill()
            await visitors.answers(100)
            trackers.spool.rename(aside)
            trackers.spool.write_text("in the way")
            valkey.start()
            while not trackers.logged("spool.stuck"):
                await visitors.answers(20)
            lost = trackers.metric(LOST)
            await visitors.answers(2000)
            assert trackers.metric(LOST) == lost
            trackers.spool.unlink()
            aside.rename(trackers.spool)

        await visitors.visit(8, scenario)
        lost = int(trackers.metric(LOST))  # while Redis and the disk were away
        assert balance(visitors, trackers, valkey, lost=lost) < trackers.metric(ON_DISK)
        assert trackers.logged("spool.stuck") == 1


async def test_it_says_so_in_each_outage_in_which_clicks_are_lost(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(20)
            for outage in (1, 2):
                valkey.kill()
                await lose(visitors, trackers, int(trackers.metric(LOST)) + 20)
                valkey.start()
                kept = trackers.metric(IN_REDIS)
                while trackers.metric(IN_REDIS) < kept + 20:
                    await visitors.answers(20)
                assert trackers.logged("clicks.lost") == outage

        await visitors.visit(8, scenario)
        trackers.spool.unlink()
        trackers.spool.mkdir()
        kept = {click.query.partition("&")[0] for click in held(valkey).clicks}
        assert len(visitors.answered) - len(kept) <= trackers.metric(LOST)
