#!/usr/bin/env python3
"""Run the full tier of tests/robustness; keep what it measured; write docs/robustness.md and the table in README.md.

usage: scripts/robustness.py [--pages | --check] [TEST ...]

Without TEST all of it runs, in at most 75 minutes; with one or more (files of tests/robustness) only those, and the
figures of the others stay, each with the commit and the day that it is of. --pages runs nothing, and writes the pages;
--check says whether they are what is committed. LMAPS_SEED=N repeats a run.
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
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import zmq

ROOT = Path(__file__).parents[1]
TESTS = "tests/robustness"
FIGURES = ROOT / TESTS / "figures.json"
PAGE = ROOT / "docs" / "robustness.md"
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- figures -->\n).*(<!-- end of figures -->)", re.DOTALL)
PROMISES = {
    "durable, atomic, in order": r"1 anything|7 power cuts at",
    "retry is safe": r"60 ",
    "apply runs at most once": r"2 ",
    "confirmed or undone": r"61 ",
    "nothing left running": r"5 the supervisor|12 ",
    "it recovers": r"1 a killed .* quiet",
    "full or broken disk": r"16 disk full at any|17 I/O|19 damaged database: (bits|pages)",
    "overload is said": r"38 |40 |54 queue",
    "closed by default": r"rights: subject x verb x unit$|T1 stranger|T3 ",
    "client data is never code": r"T5 ",
    "upgrades": r"26 upgrade on",
    "nothing grows": r"steady",
    "the tests see bugs": r"planted",
}
"""Which figures stand beside a promise in README.md: the beginnings of their names, with their numbers."""


def main(arguments: Sequence[str]) -> int:
    """Run, keep, write; the exit code of the tests."""
    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"figures": [], "skipped": []}
    code = 0
    if not {"--pages", "--check"} & set(arguments):
        code, kept = measure(arguments or [TESTS], kept)
        FIGURES.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    readme = README.read_text()
    pages = {
        PAGE: page(kept),
        README: BLOCK.sub(lambda found: found[1] + table(kept["figures"]) + found[2], readme),
    }
    if "--check" in arguments:
        old = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
        for path in old:
            print(f"{path.relative_to(ROOT)} does not fit the figures: scripts/robustness.py --pages", file=sys.stderr)
        return len(old)
    for path, text in pages.items():
        path.write_text(text)
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
    told = [json.loads(line) for line in lines]
    fresh = [each | run for each in told if each["full"] and each["test"] not in failed]
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
    """The name of a test as pytest is told it."""
    return f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"


def commit() -> str:
    """What was tested."""
    told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)  # noqa: S607
    return told.stdout.strip()


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
        "What the full tier has measured: each fault, what came of it, and the test that made it happen.",
        "`make robustness` runs it; `LMAPS_SEED=N` repeats a run, and with `ONLY=FILE` a part of it is run.",
        "`make test` runs the same tests with fewer rounds.",
        "",
        f"Its tests took {kept.get('minutes', 0)} minutes together, on {kept.get('machine', 'no machine')}.",
        "",
        "| fault | figures | test | of |",
        "|---|---|---|---|",
        *(f"| {shown(each)} | {each['words']} | {link(each['test'])} | {of(each)} |" for each in rows),
        "",
    ]
    if kept["skipped"]:
        lines += ["Not run there:", ""]
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


def table(figures: Iterable[dict[str, Any]]) -> str:
    """The promises with their figures."""
    rows = sorted(figures, key=order)
    lines = ["| promise | last full run | tests |", "|---|---|---|"]
    for promise, pattern in PROMISES.items():
        found = [each for each in rows if re.match(pattern, each["fault"])]
        files = dict.fromkeys(each["test"].partition("::")[0] for each in found)
        tests = ", ".join(f"[{Path(file).stem}]({file})" for file in files)
        words = "; ".join(f"{shown(each)}: {each['words']}" for each in found)
        if found:
            lines.append(f"| {promise} | {words} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
