"""A process is killed at each failpoint once: what was asked for is done once, whole, or was certainly not done."""

import contextlib
import select
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from lmaps.protocol import Reply
from lmaps.store.migrate import known_revisions, migrations_directory
from lmaps.util.failpoints import POINTS
from tests.daemons import is_alive, until
from tests.robustness.batches import Batch
from tests.robustness.load import Entry, ask
from tests.robustness.tree import Tree
from tests.robustness.verifying import check_daemon, check_database, check_keys, rows

UNITS = """\
meta: {name: web, primary_key: id}
handler:
  type: command
  probe: ["true"]
  args:
    argv:
      - sh
      - -c
      - |
        grep -qszx "HOME=$HOME" "/proc/$(cat "$HOME/pid")/environ" && echo two at once >> "$HOME/ran"
        echo $$ > "$HOME/pid"
        echo "${LMAPS_JOB##*/}" >> "$HOME/ran"
        cat > "$HOME/state"
        while [ -e "$HOME/hold" ]; do sleep 0.02; done
        echo done
params: {type: object, required: [id], properties: {id: {type: string}, n: {type: integer}}}
---
meta: {name: other, primary_key: id}
params: {type: object, required: [id], properties: {id: {type: string}}}
---
meta: {name: strict, primary_key: id, require: [message]}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""


@pytest.fixture
def tree(short_path: Path) -> Iterator[Tree]:
    made = Tree(short_path, UNITS, workers=2)
    yield made
    made.end()


class Scene:
    """A daemon with some state, and what clients ask of it while a failpoint is armed; ``name`` is new each time."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.journal: list[Entry] = []
        self.name = "start"
        tree.wait_ready()
        self.ask("create", unit="web", instances=[{"id": "a"}])
        self.ask("set", unit="web", id="a", instance={"id": "a", "n": 1})
        self.ask("create", unit="strict", instances=[{"id": "a"}], message="why")
        self.over(self.apply())

    def play(self, point: str, part: Callable[["Scene"], None], number: int = 0) -> None:
        """Kill whoever comes to the point while the part is played, and wait until all is well again."""
        self.name = f"{number}-{point.replace('_', '-')}"
        self.tree.arm(point)
        part(self)
        assert self.tree.has_acted(), f"nobody has come to {point}"
        until(lambda: all(row["over"] for row in self.ask("jobs").extra["jobs"]))
        until(lambda: sum(is_alive(row["pid"]) for row in self.ask("status").extra["workers"]) == 2)
        until(lambda: not self.tree.tools(), within=2)

    def ask(self, verb: str, **args: object) -> Reply:
        """The answer; a daemon that is being started is waited for."""
        with self.tree.client(5.0) as client:
            while True:
                entry = Entry(verb, args)
                self.journal.append(entry)
                ask(client, entry)
                if entry.reply is not None:
                    return entry.reply

    def ask_together(self, point: str, other: tuple[str, dict[str, object]]) -> None:
        """Ask for a creation and something else at once; the manager is killed at the point."""
        entries = [Entry("create", {"unit": "other", "instances": [{"id": self.name}]}), Entry(*other)]
        self.journal += entries
        with Batch(self.tree) as batch:
            batch.send(entries, then=point)
        with self.tree.client(5.0) as client:
            for entry in entries:
                ask(client, entry)

    def apply(self, **args: object) -> int:
        job = self.ask("apply", unit="web", **args).job
        assert job is not None
        return job

    def over(self, job: int) -> None:
        until(lambda: self.ask("job", job=job).extra["job"]["over"])

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """Within the block a job runs."""
        for name in ("hold", "state"):
            (self.tree.directory / name).unlink(missing_ok=True)
        (self.tree.directory / "hold").touch()
        try:
            job = self.apply()
            until((self.tree.directory / "state").exists)
            yield job
        finally:
            (self.tree.directory / "hold").unlink()
        self.over(job)

    def check_runs(self) -> None:
        """No job has run twice, and never two at once."""
        ran = Counter((self.tree.directory / "ran").read_text().splitlines())
        assert ran.pop("two at once", 0) == 0, "two jobs of a unit ran at once"
        assert not [job for job, count in ran.items() if count > 1], "a job has run twice"


def change(scene: Scene) -> None:
    scene.ask("create", unit="web", instances=[{"id": scene.name}])


def undo(scene: Scene) -> None:
    scene.ask("rollback", unit="web")
    scene.ask("redo", unit="web")


def move(scene: Scene) -> None:
    scene.ask("export")
    scene.ask("import", units=[{"unit": unit, "instances": [{"id": scene.name}]} for unit in ("web", "other")])


def two_at_once(scene: Scene) -> None:
    """Two requests that the manager finds waiting."""
    scene.ask_together("batch.mid_reply", ("create", {"unit": "web", "instances": [{"id": scene.name}]}))


def bad_among_good(scene: Scene) -> None:
    """One of a group fails after it has written: its job cannot be confirmed, as the unit was never applied."""
    create: dict[str, object] = {
        "unit": "strict",
        "instances": [{"id": scene.name}],
        "message": "why",
        "apply": {"confirm": "1m"},
    }
    scene.ask_together("batch.again", ("create", create))


def run(scene: Scene) -> None:
    scene.over(scene.apply())


def three_jobs(scene: Scene) -> None:
    """One runs, one waits, and the third is covered by that."""
    with scene.held():
        jobs = [scene.apply() for _ in range(2)]
    for job in jobs:
        scene.over(job)


def adopted(scene: Scene) -> None:
    """The manager dies while a job runs, and its successor hears of it."""
    with scene.held():
        scene.tree.kill("manager")
        until(scene.tree.has_acted)


def confirmed(scene: Scene) -> None:
    change(scene)
    job = scene.apply(confirm="1h")
    until(lambda: scene.ask("job", job=job).extra["job"]["state"] == "succeeded")
    until(scene.tree.has_acted)
    scene.ask("confirm", unit="web")


def unconfirmed(scene: Scene) -> None:
    change(scene)
    job = scene.apply(confirm="0.2s")
    scene.over(job)
    assert scene.ask("job", job=job).extra["job"]["confirmation"] == "undone"
    found = scene.ask("show", unit="web", instances=True).extra["instances"]
    assert scene.name not in [row["id"] for row in found]


def worker_dies(scene: Scene) -> None:
    with scene.held():
        for name in ("worker 1", "worker 2"):
            scene.tree.kill(name)
        until(scene.tree.has_acted)


def manager_dies(scene: Scene) -> None:
    scene.tree.kill("manager")
    until(scene.tree.has_acted)


def reload(scene: Scene) -> None:
    scene.ask("reload")


def stop(scene: Scene) -> None:
    stopped = scene.tree.process
    stopped.send_signal(signal.SIGTERM)
    until(lambda: scene.tree.process is not stopped)


def back_up(scene: Scene) -> None:
    scene.ask("backup")


def save(scene: Scene) -> None:
    """It is the command line that dies: its file is the old one or the new one, and whole."""
    scene.tree.environment["LMAPS_FAILPOINTS"] = f"@{scene.tree.armed}"
    file = scene.tree.directory / "all.yaml"
    file.write_text("old\n")
    assert scene.tree.lmaps("export", "--output", str(file)).returncode == -signal.SIGKILL
    written = file.read_text()
    assert scene.tree.lmaps("export", "--output", str(file)).returncode == 0
    assert written == ("old\n" if scene.name.endswith("before-rename") else file.read_text())


PARTS: dict[str, dict[str, Callable[[Scene], None]]] = {
    "requests": {
        **dict.fromkeys(
            ["recv", "valid", "batch.begin", "batch.before_commit", "batch.after_commit", "change.mid"], change
        ),
        "batch.mid_reply": two_at_once,
        "batch.again": bad_among_good,
        **dict.fromkeys(["rollback.before", "rollback.after"], undo),
        **dict.fromkeys(["import.mid", "export.mid"], move),
        "backup.mid": back_up,
        **dict.fromkeys(["reload.before_swap", "reload.after_swap"], reload),
        **dict.fromkeys(["export.before_rename", "export.after_rename"], save),
        "start": manager_dies,
    },
    "jobs": {
        **dict.fromkeys(["job.before_enqueue", "job.after_enqueue"], run),
        "job.coalesce": three_jobs,
        **dict.fromkeys(["dispatch.before", "dispatch.after", "dispatch.sent"], run),
        **dict.fromkeys(["result.recv", "result.before_commit", "result.after_commit"], run),
        "adopt": adopted,
        **dict.fromkeys(["confirm.armed", "confirm.probe"], confirmed),
        **dict.fromkeys(["confirm.due", "confirm.undone"], unconfirmed),
    },
    "workers": {name: run for name in POINTS if name.startswith("worker.")},
    "supervisor": {
        **dict.fromkeys(["supervisor.before_fork", "supervisor.after_fork"], manager_dies),
        **dict.fromkeys(["supervisor.reaped", "supervisor.before_sweep"], worker_dies),
        "supervisor.stopping": stop,
    },
}
"""What is played for each failpoint."""
AT_UPGRADE = {"migrate.backup", "migrate.step"}
"""Those that only an upgrade comes to."""


def test_every_failpoint_has_its_part() -> None:
    assert {name for parts in PARTS.values() for name in parts} | AT_UPGRADE == POINTS.keys()


FIGURES = {
    "requests": (5, "1 manager killed at each point of a request", "0 lost, 0 half, 0 doubles"),
    "jobs": (10, "2 manager killed at each point of an apply", "0 double runs, never two at once, 0 lost jobs"),
    "workers": (10, "4 worker killed at each point of an apply", "0 double runs, 0 lost jobs, 0 orphans after 2 s"),
    "supervisor": (3, "5 supervisor killed at each point of its work", "0 lost, 0 left"),
}
"""How often each point is played in the full tier, and what is printed."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", PARTS)
def test_a_kill_at_each_failpoint(
    tree: Tree, role: str, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    scene = Scene(tree)
    often, fault, words = FIGURES[role]
    count = rounds(1, often)
    for number in range(count):
        for point, part in PARTS[role].items():
            scene.play(point, part, number)
    assert tree.end(signal.SIGTERM) == 0
    scene.check_runs()
    check_database(tree.directory / "lmaps.db")
    check_daemon(tree.config_file)
    check_keys(tree.directory / "lmaps.db", scene.journal)
    assert rows(tree.directory / "lmaps.db", "SELECT id FROM job WHERE state IN ('queued', 'running')") == []
    figure(fault, f"{len(PARTS[role])} points x {count}: {words}")


def test_no_worker_hears_of_a_job_that_is_not_durably_running(tree: Tree) -> None:
    scene = Scene(tree)
    tree.arm("dispatch.before", "sleep(500)")
    job = scene.apply()
    until(tree.has_acted)
    select.select([], [], [], 0.1)  # what was sent too early arrives, and must not have been
    tree.kill("manager")
    scene.over(job)
    scene.check_runs()


def make_old_state(path: Path) -> None:
    """A database with the first tables, and one instance."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(migrations_directory()))
        command.upgrade(config, "0001")
        for statement in (
            "INSERT INTO unit VALUES (1, 'web', 'd', '{}')",
            "INSERT INTO changeset (revision, unit, kind, author, door, at, line_end)"
            " VALUES (1, 'web', 'create', 'me', 'api', 't', 1)",
            """INSERT INTO change VALUES (1, 0, 1, 1, NULL, NULL, NULL, NULL, 'a', '{"id":"a"}', '{"id":"a"}', 1)""",
            """INSERT INTO instance VALUES (1, 'web', 'a', '{"id":"a"}', '{"id":"a"}', 1, 1, 1)""",
        ):
            connection.exec_driver_sql(statement)
        connection.commit()
    engine.dispose()


@pytest.mark.parametrize(("point", "hit"), [("migrate.backup", 1), ("migrate.step", 1), ("migrate.step", 2)])
def test_an_upgrade_that_is_killed_is_done_by_the_next_start(short_path: Path, point: str, hit: int) -> None:
    make_old_state(short_path / "lmaps.db")
    (short_path / "failpoints").write_text(f"{point}={hit}*kill")
    tree = Tree(short_path, UNITS)
    try:
        tree.wait_ready()
        assert tree.has_acted(), f"nobody has come to {point}"
        assert tree.data("show", "web", "--instances")[0]["id"] == "a"
        assert tree.end(signal.SIGTERM) == 0
    finally:
        tree.end()
    assert rows(short_path / "lmaps.db", "SELECT version_num FROM alembic_version") == [(known_revisions()[-1],)]
    check_database(short_path / "lmaps.db")
    for backup in short_path.glob("lmaps.db.0001.*.backup"):
        assert rows(backup, "SELECT key FROM instance") == [("a",)]
    assert list(short_path.glob("lmaps.db.0001.*.backup"))
