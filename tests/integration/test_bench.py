"""The measurements run, and tell what they have found."""

import re

import pytest

from bench.__main__ import main
from bench.table import RATE, TIME, Kind, Line, Missing, Peer, Row, measured


def test_a_line_is_measured_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rounds", "1", "--page", "click hello"])
    told = capsys.readouterr().out
    assert "| lmaps --help |" in told
    assert "| at most 1.15 |" in told
    assert re.search(r"^\d of \d floors reached", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "ratio", "reached"),
    [
        (RATE, 1.6, "aim"),
        (RATE, 1.2, "floor"),
        (RATE, 1.0, "missed"),
        (TIME, 1.0, "aim"),
        (TIME, 1.3, "floor"),
        (TIME, 1.6, "missed"),
    ],
)
def test_what_is_reached(kind: Kind, ratio: float, reached: str) -> None:
    floor, aim = (1.1, 1.5) if kind.more else (1.5, 1.1)
    row = Row("it", kind, Peer("peer", lambda: lambda: 1.0, floor, aim), [(ratio, 1.0)] * 3)
    assert row.reached == reached
    assert Row("it", kind, Peer("peer", lambda: lambda: 1.0), [(ratio, 1.0)]).reached == ""


def test_both_sides_are_measured_in_each_round_and_who_is_missing_is_told() -> None:
    order: list[str] = []

    def made(name: str, value: float) -> float:
        order.append(name)
        return value

    def missing() -> None:
        raise Missing("it is not installed")

    left_out: list[str] = []
    peers = (Peer("peer", lambda: lambda: made("peer", 4.0)), Peer("other", missing))  # type: ignore[arg-type]
    [row] = measured(Line("it", RATE, lambda: lambda: made("ours", 2.0), peers), 2, left_out.append)
    assert order == ["ours", "peer", "peer", "ours"]
    assert row.pairs == [(2.0, 4.0)] * 2
    assert left_out == ["it against other: it is not installed"]
