import pytest

from lmaps.errors import UsageError
from lmaps.util import times


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("1.5m", 90)])
def test_durations(text, seconds):
    assert times.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5*60", "m", "5 parsecs", "-1s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="such as 30s or 5m"):
        times.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.14, "3.1 s"), (80, "1 m 20 s"), (7500, "2 h 5 m"), (273_600, "3 d 4 h")]
)
def test_durations_for_people(seconds, text):
    assert times.format_duration(seconds) == text


def test_now_is_utc_with_microseconds_and_reads_back():
    moment = times.now()
    assert moment.endswith("Z")
    assert len(moment) == len("2026-11-23T10:04:11.123456Z")
    assert times.seconds_between(moment, moment) == 0
    assert times.age(moment).endswith(" s ago")
