"""Measure lMaPS and what people would use instead: ``make bench``, or ``python -m bench [WORD...]``.

Both sides of a line are measured one after the other in each round, on the same machine and disk. What counts is the
ratio: its median over the rounds, with the least and the most. "free" uses all cores, "pinned" one. A peer that is not
installed is left out, with the reason. With words only lines that have one of them are measured.

``python -m bench --page`` prints rows for docs/benchmarks.md: run it on a machine that does nothing else, and put them
there with the line about machine and versions that stands below them.
"""

import argparse
import compileall
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import zmq

import lmaps
from bench.lines import ROOMS, Room
from bench.table import HEAD, Row, markdown, measured, plain


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("words", metavar="WORD", nargs="*", help="measure only lines that have one of these")
    parser.add_argument("--page", action="store_true", help="print Markdown")
    parser.add_argument("--rounds", type=int, help="so many instead of 7 (11 for creates in sequence)")
    told = parser.parse_args(arguments)
    begin = time.monotonic()
    compileall.compile_dir(Path(lmaps.__file__).parent, quiet=1)  # as an installed one is
    print((markdown if told.page else plain)(HEAD))
    if told.page:
        print("|" + "---|" * len(HEAD))
    reached = [row.reached for row in table(told) if row.reached]
    missed = reached.count("missed")
    print(f"\n{len(reached) - missed} of {len(reached)} floors reached, {reached.count('aim')} aims; {surroundings()}")
    print(f"{time.monotonic() - begin:,.0f} s")


def table(told: argparse.Namespace) -> list[Row]:
    """Measure what is asked for, and print a row as soon as it is known; what is left out comes last."""
    left_out: list[str] = []
    rows: list[Row] = []
    for room in ROOMS:
        with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name, ExitStack() as stack:
            for line in room(Room(Path(name), stack)):
                text = " ".join([line.what, *(peer.name for peer in line.peers)])
                if told.words and not any(word in text for word in told.words):
                    continue
                for row in measured(line, told.rounds, left_out.append):
                    print((markdown if told.page else plain)(row.cells()), flush=True)
                    rows.append(row)
    for reason in left_out:
        print(f"left out: {reason}")
    return rows


def surroundings() -> str:
    """The day, the machine and the versions."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.release()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, libzmq {zmq.zmq_version()}; "
        f"{', '.join(peer_versions())}"
    )


def peer_versions() -> Iterator[str]:
    """Those of the peers that are programs, as they tell them."""
    for name in ("etcd", "gunicorn", "git"):
        if shutil.which(name):
            told = subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout
            yield f"{name} {re.search(r'[0-9.]+', told)[0]}"  # type: ignore[index]


if __name__ == "__main__":
    main(sys.argv[1:])
