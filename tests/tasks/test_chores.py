"""Chores: each in its rhythm, later and later while it fails, and none in the way of another."""

from tasks.chores import Chore, Chores


def waits(chore: Chore, *, runs: int) -> list[float]:
    """The seconds until each further run."""
    time = [0.0]
    chores = Chores([chore], clock=lambda: time[0])
    found = []
    for _ in range(runs):
        wait = chores.run_due()
        time[0] += wait
        found.append(wait)
    return found


def fails() -> None:
    raise ValueError("not today")


def works() -> None:
    pass


def test_it_waits_ever_longer_after_failures() -> None:
    assert waits(Chore("works", works, every=2), runs=3) == [2, 2, 2]
    assert waits(Chore("fails", fails, every=2), runs=6) == [2, 4, 8, 16, 30, 30]
    assert waits(Chore("is rare", fails, every=600), runs=3) == [600, 600, 600]


def test_it_waits_no_longer_than_a_chore_bears() -> None:
    assert waits(Chore("renew", fails, every=3.75, longest=3.75), runs=4) == [3.75] * 4
    assert waits(Chore("renew often", fails, every=0.25, longest=0.25), runs=4) == [0.25] * 4


def test_it_goes_back_to_its_rhythm_once_it_works() -> None:
    results = [fails, fails, fails, works, works]
    assert waits(Chore("recovers", lambda: results.pop(0)(), every=1), runs=5) == [1, 2, 4, 1, 1]


def test_it_does_the_others_while_one_fails() -> None:
    done: list[str] = []
    time = [0.0]
    chores = Chores(
        [Chore("fails", fails, every=1), Chore("works", lambda: done.append("done"), every=1)],
        clock=lambda: time[0],
    )
    for _ in range(5):
        time[0] += chores.run_due()
    assert len(done) == 5
