"""Measure lMaPS and what people would use instead: ``make bench``, or ``python -m bench [WORD...]``.

Both sides of a line are measured one after the other in each round, on the same machine and disk. What counts is the
ratio: its median over the rounds, with the least and the most. "free" uses all cores, "pinned" one. A peer that is not
installed is left out, with the reason. With words only lines that have one of them are measured.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from bench import peers
from bench.ours import Ours, Tree, daemon, first_answer

ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison of rates [1/s]; the ratio is to be ``bound`` at least."""

    what: str
    ours: Callable[[], float]
    against: str
    peer: Callable[[], float]
    bound: float | None = None
    wanted: ClassVar[str] = "at least"
    form: ClassVar[str] = "{:,.0f} /s"


class Time(Line):
    """One of times [ms]; the ratio is to be ``bound`` at most."""

    wanted = "at most"
    form = "{:,.1f} ms"


class Memory(Line):
    """One of memory [MiB]; the ratio is to be ``bound`` at most."""

    wanted = "at most"
    form = "{:,.0f} MiB"


class Sides:
    """Both sides, made when a line first needs them."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._made: dict[str, Any] = {}

    def folder(self, name: str) -> Path:
        """A folder of one side's own."""
        folder = self._directory / name
        folder.mkdir(exist_ok=True)
        return folder

    def get(self, name: str) -> Any:
        """One side."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Any:
        folder = self.folder(name)
        if name == "ours":
            return Ours(folder, self._stack.enter_context(daemon(folder)))
        if name == "tree":
            return Tree(folder, self._stack.enter_context(daemon(folder, workers=4)))
        if name == "echo":
            return self._stack.enter_context(peers.echo(folder))
        made = {"sqlite": peers.RawSqlite, "etcd": peers.Etcd, "gunicorn": peers.Gunicorn}[name](folder)
        self._stack.callback(made.close)
        return made


def lines(sides: Sides) -> Iterator[Callable[[], Line]]:
    """What is compared, by what is measured; a line raises `Missing` when its peer is not there."""
    get, number = sides.get, count()
    ours: Callable[[], Ours] = lambda: get("ours")  # noqa: E731
    sync, imports = sides.folder("sync"), "import sqlalchemy, jsonschema, zmq, yaml"
    yield lambda: Line("creates in sequence", ours().create, "fdatasync", lambda: peers.fdatasync(sync))
    yield lambda: Line("creates in sequence", ours().create, "sqlite3 INSERT", get("sqlite").single)
    yield lambda: Line("creates in sequence", ours().create, "etcd put", get("etcd").sequential, 1.1)
    yield lambda: Line("creates, 64 in flight", ours().create_in_flight, "etcd put", get("etcd").in_flight, 1.1)
    yield lambda: Line("creates, a file of 10,000", ours().create_file, "sqlite3, by 100", get("sqlite").grouped, 0.3)
    yield lambda: Line("status, free", ours().status, "pyzmq echo", get("echo"), 0.9)
    yield lambda: Line("status, pinned", pinned(ours().status), "pyzmq echo", pinned(get("echo")), 0.6)
    yield lambda: Time("rollback", ours().rollback, "create", ours().one_create, 1.3)
    yield lambda: Time("show of 10,000", ours().show_many, "json.loads of each", ours().decode_many, 0.6)
    yield lambda: Time("export --yaml, by 10,000", ours().export_many, "CSafeDumper", ours().dump_many, 0.3)
    yield lambda: Time("lmaps --help", ours().help, "click hello", peers.click_hello, 1.15)
    yield lambda: Time("lmaps --help", ours().help, "kubectl version", peers.kubectl())
    yield lambda: Time(
        "lmaps show web ID", ours().show_one, "import click, zmq", peers.python("import click, zmq"), 1.15
    )
    yield lambda: Time("a killed worker", get("tree").worker, "gunicorn's", get("gunicorn").restart, 1.5)
    yield lambda: Time("a killed manager", get("tree").manager, "gunicorn's worker", get("gunicorn").restart, 5)
    yield lambda: Memory("4 workers, idle", get("tree").memory, "gunicorn", get("gunicorn").memory, 2)
    yield lambda: Time(
        "start to the first answer",
        lambda: first_answer(sides.folder(f"start{next(number)}")),
        "import of 4 libraries",
        peers.python(imports),
        1.2,
    )


def pinned(measure: Callable[[], float]) -> Callable[[], float]:
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
        pids += peers.children(pid)
    tasks = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    for task in tasks:
        os.sched_setaffinity(task, cores)
    try:
        yield
    finally:
        for task in tasks:
            os.sched_setaffinity(task, before)


def measure(line: Line) -> str:
    """A line of the table."""
    pairs = [(line.ours(), line.peer()) for _ in range(ROUNDS)]
    ratios = [ours / peer for ours, peer in pairs]
    ours, peer = (line.form.format(statistics.median(side)) for side in zip(*pairs, strict=True))
    bound = f"{line.wanted} {line.bound}" if line.bound else ""
    spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
    told = f"{line.what:<26} {ours:>11} {peer:>11} {statistics.median(ratios):>6.2f} {spread:<15}"
    return f"{told} {bound:<13} {line.against}".rstrip()


def main(words: Sequence[str]) -> None:
    """Measure, and print a table."""
    print(f"{'what':<26} {'lMaPS':>11} {'peer':>11}  ratio (of {ROUNDS} rounds)  wanted        peer")
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name, ExitStack() as stack:
        for make in lines(Sides(Path(name), stack)):
            try:
                line = make()
            except peers.Missing as missing:
                print(f"left out: {missing}")
                continue
            if not words or any(word in line.what or word in line.against for word in words):
                print(measure(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
