import pytest

from lmaps.supervisor.slots import HEALTHY, LONGEST, Backoff


def test_the_first_death_is_followed_at_once():
    assert Backoff().after(1.0) == 0.0


def test_waits_double_up_to_the_longest():
    backoff = Backoff()
    backoff.after(1.0)
    for expected in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6):
        assert 0.8 * expected <= backoff.after(1.0) <= min(LONGEST, 1.2 * expected)
    assert all(0.8 * LONGEST <= backoff.after(1.0) <= LONGEST for _ in range(1000))


def test_waits_differ_so_that_slots_do_not_start_together():
    waits = set()
    for _ in range(20):
        backoff = Backoff()
        backoff.after(1.0)
        waits.add(backoff.after(1.0))
    assert len(waits) > 1


def test_a_healthy_life_is_a_fresh_start():
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1.0)
    assert backoff.after(HEALTHY) == 0.0
    assert backoff.after(1.0) > 0.0


@pytest.mark.parametrize(
    ("lives", "early"),
    [([], 0), ([1, 2, 3], 3), ([1, 2, 11], 0), ([1, 11, 2, 3], 2), ([9.9, 10.0], 0)],
)
def test_early_deaths_in_a_row_are_counted(lives, early):
    backoff = Backoff()
    for lived in lives:
        backoff.after(lived)
    assert backoff.early == early
