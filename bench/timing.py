"""How long something takes, and where programs are."""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.table import Measure, Missing

RUNS = 3
"""How often a process is run in one round; its median counts."""


def milliseconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    begin = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begin)


def rate(times: int, action: Callable[[], object]) -> float:
    """How often a second."""

    def all_of_them() -> None:
        for _ in range(times):
            action()

    return 1000 * times / milliseconds(all_of_them)


def run(*argv: str | Path, **options: Any) -> None:
    """Run a process to its end, which is to be a good one."""
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, **options)


def process(*argv: str | Path) -> Measure:
    """Measures a process from its start to its end [ms], after a run that does not count."""
    run(*argv)
    return lambda: statistics.median(milliseconds(lambda: run(*argv)) for _ in range(RUNS))


def python(statement: str, *words: str) -> Measure:
    """The same of Python with one statement."""
    return process(sys.executable, "-c", statement, *words)


def program(name: str) -> str:
    """Where an installed program is."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def proportional(pid: int) -> float:
    """The proportional set size of a process [MiB]."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
