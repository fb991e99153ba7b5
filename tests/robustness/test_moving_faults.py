"""State that moves: clients and managers killed in an export, a backup, an import; documents that do not fit."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmaps.store import backup
from tests.daemons import RunningDaemon, until
from tests.robustness.answers import hosts
from tests.robustness.batches import Batch
from tests.robustness.load import Entry
from tests.robustness.test_failpoints import UNITS
from tests.robustness.tree import Tree, answers

PORTS = """\
meta: {name: web, primary_key: id}
params: {type: object, required: [id], properties: {id: {type: string}, n: {type: integer}}}
"""


@pytest.fixture
def tree(short_path: Path) -> Iterator[Tree]:
    made = Tree(short_path, UNITS, workers=1)
    made.wait_ready()
    with made.client() as client:
        client.call("create", unit="web", instances=[{"id": "a"}, {"id": "b"}])
    yield made
    made.end()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", ["export", "backup"])
def test_a_client_that_is_killed_while_it_writes(
    tree: Tree, rounds: Callable[[int, int], int], figure: Callable[[str, str], None], command: str
) -> None:
    """Its file is the old one or the new one, whole; the daemon keeps nothing for it."""
    file = tree.directory / "file"
    arguments = ["export", "--output", str(file)] if command == "export" else ["backup", str(file)]
    tree.environment["LMAPS_FAILPOINTS"] = f"@{tree.armed}"
    for point in ["export.before_rename", "export.after_rename"] * rounds(2, 50):
        file.write_text("old\n")
        tree.arm(point)
        assert tree.lmaps(*arguments).returncode == -signal.SIGKILL
        assert (file.read_text(errors="replace") == "old\n") == (point == "export.before_rename")
        if point == "export.after_rename" and command == "backup":
            assert backup.verify(str(file)) == 1
        assert not list(tree.directory.glob("*.copy*"))
    figure(f"24 client killed in {command}", f"{rounds(4, 100)} times: the old file or the new one, whole")


def test_a_manager_that_is_killed_while_it_copies_leaves_nothing(tree: Tree) -> None:
    tree.arm("backup.mid")
    assert tree.lmaps("backup", str(tree.directory / "file")).returncode in (0, 9, 10)
    until(tree.has_acted)
    with tree.client() as client:
        until(lambda: answers(client))
    assert not list(tree.directory.glob("*.copy*"))


@pytest.mark.timeout(1800)
def test_an_import_that_is_killed_is_done_whole_or_not_at_all(
    tree: Tree, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    """Asked once: nobody asks again."""
    points = ["import.mid", "batch.before_commit", "batch.after_commit"] * rounds(1, 10)
    expected = {"web": {"a", "b"}, "other": set[str]()}
    for number, point in enumerate(points):
        new = {f"n{number}-{each}" for each in range(100)}
        units = [{"unit": unit, "instances": [{"id": each} for each in sorted(new)]} for unit in expected]
        with Batch(tree) as batch:
            batch.send([Entry("import", {"units": units})], then=point)
            until(tree.has_acted)
        if point == "batch.after_commit":
            expected = {unit: ids | new for unit, ids in expected.items()}
        with tree.client() as client:
            until(lambda client=client: answers(client))
            stored = {
                unit: {row["id"] for row in client.call("show", unit=unit, instances=True).extra["instances"]}
                for unit in expected
            }
        assert stored == expected, point
    figure("25 import killed", f"{len(points)} times: all or nothing")


def test_all_bad_documents_of_an_import_are_reported(
    start_daemon: Callable[..., RunningDaemon], figure: Callable[[str, str], None]
) -> None:
    daemon = start_daemon(PORTS)
    documents = [{"id": f"h{number}", "n": "none" if number % 100 == 50 else number} for number in range(1000)]
    (daemon.directory / "all.yaml").write_text(
        "lmaps: export\nversion: 1\n---\nunit: web\ninstances:\n"
        + "".join(f"- {json.dumps(each)}\n" for each in documents)
    )
    refused = daemon.lmaps("import", "all.yaml")
    first, *places = refused.stderr.splitlines()
    assert (refused.returncode, first) == (3, "cannot import: all.yaml has 10 errors, nothing was changed")
    assert [int(each.split(":")[1]) for each in places] == [6 + number for number in range(50, 1000, 100)]
    with daemon.client() as client:
        assert hosts(client) == set()
    figure("25 bad documents in an import", "10 of 1,000, all reported, nothing imported")
