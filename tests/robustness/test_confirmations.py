"""Confirmed applies while processes die and handlers fail: the host ends where it was, or it is said loudly."""

import random
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmaps.errors import LmapsError
from tests.daemons import until
from tests.robustness.tree import Tree

pytestmark = pytest.mark.timeout(900)
UNITS = """\
meta: {name: web, primary_key: id, data_type: YamlList}
handler:
  type: command
  args: {argv: [sh, -c, 'cat > $HOME/state; [ ! -e $HOME/fail ]']}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""


@pytest.fixture
def tree(short_path: Path) -> Iterator[Tree]:
    """Its host has r1: one instance, ``a``."""
    made = Tree(short_path, UNITS, workers=2)
    made.wait_ready()
    assert made.lmaps("create", "web", "--set", "id=a", "--apply").returncode == 0
    yield made
    made.end()


def arm(tree: Tree, name: str, within: str) -> int:
    """Another instance, applied and to be confirmed; the job, when it has run."""
    with tree.client() as client:
        client.call("create", unit="web", instances=[{"id": name}])
        job = client.call("apply", unit="web", confirm=within).job
        assert job is not None
        until(lambda: client.call("job", job=job).extra["job"]["state"] == "succeeded")
    return job


def ended(tree: Tree, job: int) -> str:
    """How the confirmation of a job has ended."""

    def told() -> str | None:
        try:
            with tree.client() as client:
                found = client.call("job", job=job).extra["job"]
        except LmapsError:
            return None
        return str(found["confirmation"]) if found["over"] else None

    return str(until(told, within=30))


def test_kills_while_a_confirmation_is_pending(
    tree: Tree, rounds: Callable[[int, int], int], seed: int, figure: Callable[[str, str], None]
) -> None:
    rng = random.Random(seed)
    count = rounds(4, 40)
    for number in range(count):
        job = arm(tree, f"b{number}", "0.5s")
        select.select([], [], [], rng.uniform(0, 0.8))
        if number % 4 == 3:
            tree.kill_all()
        else:
            tree.kill(("manager", "worker 1", "supervisor")[number % 4])
        assert ended(tree, job) == "undone"
        assert tree.data("show", "web", "--instances", "-o", "json")[0]["id"] == "a"
        assert (tree.directory / "state").read_text().count("id") == 1, "the host has what was undone"
        until(lambda: tree.data("units")[0]["condition"] == "in sync")
    figure("61 kills while a confirmation is pending", f"{count} times: the state and the host are as they were")


def test_an_undo_that_fails(tree: Tree, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]) -> None:
    """It is never reported as done, also not after a kill, until a person acts."""
    count = rounds(2, 20)
    for number in range(count):
        job = arm(tree, f"b{number}", "0.5s")
        (tree.directory / "fail").touch()
        assert ended(tree, job) == "undo_failed"
        if number % 2:
            tree.kill_all()
        assert ended(tree, job) == "undo_failed"
        assert tree.lmaps("attach", str(job)).returncode == 12
        assert tree.data("units")[0]["condition"] == "dirty"
        (tree.directory / "fail").unlink()
        assert tree.lmaps("apply", "web").returncode == 0
        assert tree.data("units")[0]["condition"] == "in sync"
    figure("62 the undo of what was not confirmed fails", f"{count} times: exit code 12, dirty, never reported as done")
