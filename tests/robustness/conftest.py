"""Robustness: two tiers of the same tests, seeds that can be repeated, and figures for docs/robustness.md.

The short tier runs with all other tests. ``LMAPS_ROBUSTNESS=full`` makes it the full one (`make robustness`),
``LMAPS_SEED=N`` repeats a run, ``LMAPS_KEEP=DIRECTORY`` keeps database and logs of one that failed, and
``LMAPS_REQUIRE_ROOT=1`` makes a test fail that would be skipped.
"""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

FULL = os.environ.get("LMAPS_ROBUSTNESS") == "full"


@pytest.fixture
def rounds() -> Callable[[int, int], int]:
    """How often: ``rounds(short, full)`` by the tier that runs."""
    return lambda short, full: full if FULL else short


@pytest.fixture
def seed() -> int:
    """What makes this run random; printed with a failure."""
    chosen = int(os.environ.get("LMAPS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {chosen}: repeat with LMAPS_SEED={chosen}")
    return chosen


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Keep what was measured, ``figure(fault, words)``, in the file ``LMAPS_FIGURES``: a JSON object a line.

    ``fault`` is the fault's row in docs/robustness.md, ``words`` what is printed there.
    """

    def keep(fault: str, words: str) -> None:
        print(f"{fault}: {words}")
        if os.environ.get("LMAPS_FIGURES"):
            told = {"fault": fault, "words": words, "test": request.node.nodeid, "full": FULL}
            with Path(os.environ["LMAPS_FIGURES"]).open("a") as file:
                file.write(json.dumps(told) + "\n")

    return keep


def cannot(reason: str) -> None:
    """Skip a test that this machine cannot run; a failure where everything has to run."""
    if os.environ.get("LMAPS_REQUIRE_ROOT") == "1":
        pytest.fail(f"cannot run here: {reason}")
    pytest.skip(reason)
