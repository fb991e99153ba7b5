#!/usr/bin/env python3
"""Run the full tier of tests/robustness, keep the figures that it measured, and write docs/robustness.md.

usage: scripts/robustness.py [--page | --check] [TEST ...]

Without TEST all of it runs, in at most 75 minutes; with one or more (files of tests/robustness) only those, and the
figures of the others stay, each with its commit and its day. --page runs nothing and writes the page; --check reports
whether the committed page fits the figures. LMAPS_SEED=N repeats a run.
"""

import json
import os
import platform
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import zmq

ROOT = Path(__file__).parents[1]
TESTS = "tests/robustness"
FIGURES = ROOT / TESTS / "figures.json"
PAGE = ROOT / "docs" / "robustness.md"


class Promise(NamedTuple):
    """A promise of lMaPS, a section of the page; README.md links to its heading."""

    heading: str
    text: str
    figures: str
    """Pattern of the faults whose figures belong to it: the beginnings of their names, with their numbers."""


PROMISES = (
    Promise(
        "Durable, atomic, in order",
        "An acknowledged change is on disk as a whole: instances, changeset, answer and audit row. It survives "
        "`kill -9` and power loss. An import of 10,000 instances is one transaction. Revisions grow by one and are "
        "never reused. A read sees one revision as a whole, and never one that is not on disk.",
        r"1 anything|7 power cuts at",
    ),
    Promise(
        "Retry is safe",
        "Each change carries a key: sent twice it is made once, and gets the same answer. When no answer arrives, "
        "`lmaps request KEY` reports the outcome.",
        r"60 ",
    ),
    Promise(
        "Apply runs at most once",
        "One job of a unit runs at a time. A job whose process is gone becomes `interrupted` at once, and is not run "
        "again unless its unit has `on_interrupt: rerun`.",
        r"2 ",
    ),
    Promise(
        "Confirmed or undone",
        "A confirmed apply is kept or undone by its deadline, also after a crash, and reports which of the two.",
        r"61 ",
    ),
    Promise(
        "Nothing is left running",
        "After a cancel, a timeout or a stop no process that a handler started lives.",
        r"5 the supervisor|12 ",
    ),
    Promise(
        "It recovers",
        "A killed manager or worker is replaced within a second. Commands wait and repeat their request.",
        r"1 a killed .* quiet",
    ),
    Promise(
        "Full or broken disk",
        "Reads go on. Writes are refused with the reason, and work again without a restart.",
        r"16 disk full at any|17 I/O|19 damaged database: (bits|pages)",
    ),
    Promise("Overload is reported", "Every request gets one answer; a full queue answers `busy`.", r"38 |40 |54 queue"),
    Promise(
        "Closed by default",
        "Sockets are open to the daemon's user, and those of root's daemon to the group `lmaps`. There is no network "
        "without keys. Rights on units are granted to users, groups and keys; everything else is denied.",
        r"rights: subject x verb x unit$|T1 stranger|T3 ",
    ),
    Promise(
        "Client data is never code",
        "A value of a client is no template, shell word, path or pattern. No channel carries pickle.",
        r"T5 ",
    ),
    Promise(
        "Upgrades are all or nothing",
        "A migration makes a backup first, and is kept as a whole or not at all. A state of a newer version is refused "
        "and left untouched.",
        r"26 upgrade on",
    ),
    Promise("Nothing grows", "Memory, descriptors and threads stay flat under load.", r"steady"),
    Promise(
        "The tests find bugs",
        "Bugs that are planted into a copy of the source are caught by the tests above.",
        r"planted",
    ),
)


def main(arguments: Sequence[str]) -> int:
    """Run, keep, write; the exit code of the tests."""
    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"figures": [], "skipped": []}
    code = 0
    if not {"--page", "--check"} & set(arguments):
        code, kept = measure(arguments or [TESTS], kept)
        FIGURES.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    text = page(kept)
    if "--check" in arguments:
        fits = PAGE.exists() and PAGE.read_text() == text
        if not fits:
            print(f"{PAGE.relative_to(ROOT)} does not fit the figures: scripts/robustness.py --page", file=sys.stderr)
        return int(not fits)
    PAGE.write_text(text)
    return code


def measure(tests: Sequence[str], kept: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run tests side by side, then those that need the machine for themselves; the code, and the figures of all."""
    seed = os.environ.get("LMAPS_SEED") or str(random.SystemRandom().randrange(2**32))
    with tempfile.TemporaryDirectory() as directory:
        figures = Path(directory) / "figures"
        environment = os.environ | {"LMAPS_ROBUSTNESS": "full", "LMAPS_SEED": seed, "LMAPS_FIGURES": str(figures)}
        codes, cases = [], []
        for number, which in enumerate((["-m", "not alone", "-n", "2"], ["-m", "alone"])):
            report = Path(directory) / f"{number}.xml"
            command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *which, *tests]
            codes.append(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)  # noqa: S603
            cases += list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 (pytest's own)
        lines = figures.read_text().splitlines() if figures.exists() else []
    run = {"commit": commit(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "seed": seed}
    failed = {name_of(case) for case in cases if case.find("failure") is not None or case.find("error") is not None}
    figures_of_run = [json.loads(line) for line in lines]
    fresh = [each | run for each in figures_of_run if each["full"] and each["test"] not in failed]
    skipped = [
        {"test": name_of(case), "reason": reason.get("message", "")}
        for case in cases
        if (reason := case.find("skipped")) is not None
    ]
    ran = {name_of(case) for case in cases}
    return max(code for code in codes if code != 5), {
        "machine": machine(),
        "minutes": round(sum(float(case.get("time", 0)) for case in cases) / 60, 1),
        "figures": [each for each in kept["figures"] if each["test"] not in ran - failed] + fresh,
        "skipped": [each for each in kept["skipped"] if each["test"] not in ran] + skipped,
    }


def name_of(case: ElementTree.Element) -> str:
    """Return the name of a test as an argument for pytest."""
    return f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"


def commit() -> str:
    """Return the commit that was tested."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)  # noqa: S607
    return described.stdout.strip()


def machine() -> str:
    """What it was tested on."""
    system = f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} cores"
    return f"{system}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, libzmq {zmq.zmq_version()}"


def page(kept: dict[str, Any]) -> str:
    """docs/robustness.md."""
    rows = sorted(kept["figures"], key=order)
    lines = [
        "<!-- Written by scripts/robustness.py. -->",
        "",
        "# Robustness",
        "",
        "Each promise of lMaPS is tested by injecting the faults that could break it. This page has the figures.",
        "`make robustness` runs all of these tests, `make robustness ONLY=FILE` those of one file, and `LMAPS_SEED=N`",
        "repeats a run. `make test` runs the same tests with fewer rounds.",
        "",
        f"The tests of the last run took {kept.get('minutes', 0)} minutes on {kept.get('machine', 'no machine')}.",
        "",
        *(line for promise in PROMISES for line in section(promise, rows)),
        "## Every figure",
        "",
        "| fault | figures | test | commit, date, seed |",
        "|---|---|---|---|",
        *(f"| {shown(each)} | {each['words']} | {link(each['test'])} | {of(each)} |" for each in rows),
        "",
    ]
    if kept["skipped"]:
        lines += ["Skipped in that run:", ""]
        lines += [f"- {link(each['test'])}: {each['reason']}" for each in kept["skipped"]] + [""]
    return "\n".join(lines)


def shown(figure: dict[str, Any]) -> str:
    """The fault without the number that it is ordered by."""
    return re.sub(r"^[0-9T]+ ", "", str(figure["fault"]))


def order(figure: dict[str, Any]) -> tuple[int, str]:
    """By number; those without one at the end."""
    number = re.match(r"\d+", figure["fault"])
    return (int(number[0]) if number else 1000, figure["fault"])


def link(test: str) -> str:
    """A test, with its file."""
    file, _, name = test.partition("::")
    return f"[{name.partition('[')[0].removeprefix('test_').replace('_', ' ')}](../{file})"


def of(figure: dict[str, Any]) -> str:
    """Which commit a figure is of, when, and with which seed."""
    return f"{figure['commit']}, {figure['date']}, seed {figure['seed']}"


def section(promise: Promise, rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a promise and the figures that belong to it."""
    yield from (f"## {promise.heading}", "", promise.text, "", "| fault | figures | test |", "|---|---|---|")
    for figure in rows:
        if re.match(promise.figures, figure["fault"]):
            yield f"| {shown(figure)} | {figure['words']} | {link(figure['test'])} |"
    yield ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
