import pytest

from lmaps.supervisor.slots import HEALTHY_S, MAX_DELAY_S, Backoff


def test_the_first_death_is_followed_at_once():
    assert Backoff().record_death(1.0) == 0.0


def test_waits_double_up_to_the_longest():
    backoff = Backoff()
    backoff.record_death(1.0)
    for expected in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6):
        assert 0.8 * expected <= backoff.record_death(1.0) <= min(MAX_DELAY_S, 1.2 * expected)
    assert all(0.8 * MAX_DELAY_S <= backoff.record_death(1.0) <= MAX_DELAY_S for _ in range(1000))


def test_waits_differ_so_that_slots_do_not_start_together():
    waits = set()
    for _ in range(20):
        backoff = Backoff()
        backoff.record_death(1.0)
        waits.add(backoff.record_death(1.0))
    assert len(waits) > 1


def test_a_healthy_life_is_a_fresh_start():
    backoff = Backoff()
    for _ in range(5):
        backoff.record_death(1.0)
    assert backoff.record_death(HEALTHY_S) == 0.0
    assert backoff.record_death(1.0) > 0.0


@pytest.mark.parametrize(
    ("lives", "early"),
    [([], 0), ([1, 2, 3], 3), ([1, 2, 11], 0), ([1, 11, 2, 3], 2), ([9.9, 10.0], 0)],
)
def test_early_deaths_in_a_row_are_counted(lives, early):
    backoff = Backoff()
    for lived in lives:
        backoff.record_death(lived)
    assert backoff.early == early
