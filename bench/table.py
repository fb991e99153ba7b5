"""The table: lines that are measured in rounds, and how they are told."""

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

Measure = Callable[[], float]


class Missing(Exception):
    """A peer is not installed."""


class Kind(NamedTuple):
    """What is measured: how it is told, and whether more of it is better."""

    form: str
    more: bool


RATE = Kind("{:,.0f} /s", True)
TIME = Kind("{:,.1f} ms", False)
MEMORY = Kind("{:,.0f} MiB", False)


@dataclass(frozen=True, slots=True)
class Peer:
    """What lMaPS is measured against. ``make`` raises `Missing` with the reason if it is not there."""

    name: str
    make: Callable[[], Measure]
    floor: float | None = None
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that lMaPS does, and its peers, all of them measured in each round."""

    what: str
    kind: Kind
    ours: Callable[[], Measure]
    peers: tuple[Peer, ...]
    rounds: int = 7


@dataclass(frozen=True, slots=True)
class Row:
    """lMaPS and one peer: pairs of measures, one of each round."""

    what: str
    kind: Kind
    peer: Peer
    pairs: Sequence[tuple[float, float]]

    @property
    def ratios(self) -> list[float]:
        """Ours by the peer's, of each round."""
        return [ours / theirs for ours, theirs in self.pairs]

    @property
    def reached(self) -> str:
        """Whether the median ratio is as good as the aim, or the floor."""
        ratio, sign = statistics.median(self.ratios), 1 if self.kind.more else -1
        for word, bound in (("aim", self.peer.aim), ("floor", self.peer.floor)):
            if bound is not None and sign * ratio >= sign * bound:
                return word
        return "" if self.peer.floor is None else "missed"

    def cells(self) -> list[str]:
        """What stands in its columns."""
        ours, theirs = (self.kind.form.format(statistics.median(side)) for side in zip(*self.pairs, strict=True))
        ratios = self.ratios
        word = "at least" if self.kind.more else "at most"
        floor = "" if self.peer.floor is None else f"{word} {self.peer.floor:g}"
        aim = "" if self.peer.aim is None else f"{self.peer.aim:g}"
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        middle = f"{statistics.median(ratios):.2f}"
        return [self.what, ours, theirs, middle, spread, floor, aim, self.reached, self.peer.name]


HEAD = ("what", "lMaPS", "peer", "ratio", "least to most", "wanted", "aim", "reached", "peer is")
WIDTHS = (32, 12, 12, 6, 14, 13, 5, 8, 0)
RIGHT = {1, 2, 3}


def plain(cells: Sequence[str]) -> str:
    """A row for a terminal."""
    aligned = [
        f"{cell:>{width}}" if place in RIGHT else f"{cell:<{width}}"
        for place, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    ]
    return "  ".join(aligned).rstrip()


def markdown(cells: Sequence[str]) -> str:
    """A row for a page."""
    return f"| {' | '.join(cells)} |"


def measured(line: Line, rounds: int | None, leave_out: Callable[[str], None]) -> Iterator[Row]:
    """The rows of a line. Every second round goes the other way round, so that a slow phase meets both sides."""
    peers: list[tuple[Peer, Measure]] = []
    for peer in line.peers:
        try:
            peers.append((peer, peer.make()))
        except Missing as missing:
            leave_out(f"{line.what} against {peer.name}: {missing}")
    if not peers:
        return
    measures = [line.ours(), *(each for _, each in peers)]
    found: list[list[float]] = []
    for number in range(rounds or line.rounds):
        one = [each() for each in (reversed(measures) if number % 2 else measures)]
        found.append(one[::-1] if number % 2 else one)
    for place, (peer, _) in enumerate(peers, 1):
        yield Row(line.what, line.kind, peer, [(each[0], each[place]) for each in found])


def pinned(measure: Measure) -> Measure:
    """The same with every process of this run on one core."""

    def on_one_core() -> float:
        with affinity({min(os.sched_getaffinity(0))}):
            return measure()

    return on_one_core


@contextmanager
def affinity(cores: set[int]) -> Iterator[None]:
    """Within the block this process and all that it has started run on these cores."""
    before = os.sched_getaffinity(0)
    pids = [os.getpid()]
    for pid in pids:
        pids += children(pid)
    tasks = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    _move(tasks, cores)
    try:
        yield
    finally:
        _move(tasks, before)


def _move(tasks: Sequence[int], cores: set[int]) -> None:
    for task in tasks:
        with suppress(ProcessLookupError):  # a thread that has ended meanwhile
            os.sched_setaffinity(task, cores)


def children(pid: int) -> list[int]:
    """The children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
