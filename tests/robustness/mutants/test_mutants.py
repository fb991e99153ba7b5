"""A harness that never fails proves nothing: bugs are planted, and the test that is there for each has to fail."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.robustness.conftest import FULL, cannot
from tests.robustness.mutants.planted import MUTANTS, Mutant

QUICK = [mutant for mutant in MUTANTS if mutant.test.startswith("tests/unit/store/test_store.py")]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.bug)
def test_each_can_be_planted(tmp_path: Path, mutant: Mutant) -> None:
    mutant.plant(tmp_path)


@pytest.mark.timeout(1800)
def test_each_is_caught(short_path: Path, figure: Callable[[str, str], None]) -> None:
    mutants = MUTANTS if FULL else QUICK
    for number, mutant in enumerate(mutants):
        directory = short_path / str(number)
        directory.mkdir()
        mutant.plant(directory)
        check_is_caught(mutant, directory)
    figure("planted bugs", f"{len(mutants)} of {len(MUTANTS)} caught")


def check_is_caught(mutant: Mutant, directory: Path) -> None:
    """The mutant's test fails in the copy of lMaPS that has the bug, and says why."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "LMAPS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", mutant.test],
        cwd=directory,
        env=environment | {"PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode == 0 and re.search(r"\d+ skipped", done.stdout):
        cannot(f"{mutant.test} is skipped")
    assert done.returncode == 1, f"not caught: {mutant.bug}\n{done.stdout}{done.stderr}"
    assert mutant.words in done.stdout, f"caught for another reason: {mutant.bug}\n{done.stdout}"
