"""Make the golden state of this version: ``python -m tests.golden.make [DIRECTORY]``.

It drives a real daemon through every kind of change and job, and keeps its database, what it exports and answers.
``units.yaml`` beside it has the units, ``earlier.yaml`` the older text of one.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmaps.protocol import Reply, Request
from lmaps.store.migrate import known_revisions
from tests.daemons import RunningDaemon, until
from tests.golden import HANDLERS, HERE, STATE, UNFINISHED, Golden, beside, output

SITES = "unit3.yaml"
"""Where `RunningDaemon` puts the unit whose text changes."""
WHOLE = "motd mail packages sites repositories hosts limits users deploy router gateway".split()
"""The units whose whole history is kept."""
OLD = ["--at", "r20"]
"""A revision of which each unit has a part, or nothing yet."""
LONG = "600s"
"""More time to confirm than any part of it takes."""

COMMANDS: dict[str, list[str]] = {
    **{f"answers/history-{unit}.json": ["history", unit, "--limit", "1000", "--diff"] for unit in [*WHOLE, "counters"]},
    **{f"answers/blame-{unit}.json": ["blame", unit] for unit in ("packages", "sites", "users", "limits", "router")},
    "answers/diff-sites.json": ["diff", "sites", "r1", "@"],
    "answers/diff-packages.json": ["diff", "packages", "@~2", "@"],
    "answers/diff-users.json": ["diff", "users", "r0", "@"],
    "answers/show-users.json": ["show", "users", "--instances"],
    "answers/show-sites.json": ["show", "sites", "--instances"],
    "answers/show-hosts-then.json": ["show", "hosts", *OLD],
    "answers/jobs.json": ["jobs", "--limit", "1000"],
    "exports/masked.yaml": ["export", "--yaml"],
    "exports/state.yaml": ["export", "--yaml", "--reveal"],
    "exports/state.json": ["export", "--json", "--reveal"],
    "exports/then.yaml": ["export", "--yaml", "--reveal", *OLD, *WHOLE],
    "exports/history.yaml": ["export", "--yaml", "--history", "--reveal", *WHOLE],
    "exports/history.json": ["export", "--json", "--history", "--reveal", *WHOLE],
}


class Story:
    """A daemon that is told what to do; each change has a key and a message, some a ticket and for whom it is done."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.daemon = RunningDaemon(directory, Golden(HERE).units, plugin_dirs=[HANDLERS])
        self.count = 0

    def call(self, verb: str, **args: Any) -> Reply:
        """Ask for what needs no key."""
        with self.daemon.client() as client:
            return client.call(verb, **args)

    def change(self, verb: str, **args: Any) -> Reply:
        """Ask for a change."""
        self.count += 1
        why: dict[str, Any] = {"message": f"change {self.count}"}
        why |= {"ticket": f"T-{self.count}"} if self.count % 3 == 0 else {}
        why |= {"on_behalf_of": "älice"} if self.count % 5 == 0 else {}
        with self.daemon.client() as client:
            reply = client.ask(Request(verb, args | why, key=f"golden-{self.count:03}"))
        if reply.code is not None:
            raise reply.error()
        return reply

    def create(self, unit: str, *documents: dict[str, Any], **args: Any) -> Reply:
        """Create instances."""
        return self.change("create", unit=unit, instances=list(documents), **args)

    def set(self, unit: str, name: str, path: str, value: Any) -> None:
        """Set one property."""
        self.change("set", unit=unit, id=name, set=[{"path": path, "value": value}])

    def load(self, unit: str) -> None:
        """Take this text of the unit whose text changes."""
        (self.daemon.unit_dir / SITES).write_text(unit)
        self.call("reload")

    def keys(self, unit: str) -> list[str]:
        """The names of a unit's instances."""
        return [row["id"] for row in self.call("show", unit=unit, instances=True).extra["instances"]]

    def job(self, number: int) -> dict[str, Any]:
        """A job."""
        job: dict[str, Any] = self.call("job", job=number).extra["job"]
        return job

    def start_job(self, unit: str, **args: Any) -> int:
        """Have a unit applied; the job's number."""
        return int(self.change("apply", unit=unit, **args).job or 0)

    def wait_state(self, number: int, state: str) -> None:
        """Wait until a job is in this state."""
        until(lambda: self.job(number)["state"] == state)

    def wait_over(self, number: int) -> None:
        """Wait until nothing more comes of a job."""
        until(lambda: self.job(number)["over"])

    def apply(self, unit: str, **args: Any) -> None:
        """Have a unit applied, and wait for the end."""
        self.wait_over(self.start_job(unit, **args))

    @contextmanager
    def marked(self, name: str) -> Iterator[None]:
        """Within the block the handler holds, or fails: ``hold-UNIT``, ``fail-UNIT``."""
        mark = self.directory / name
        mark.touch()
        yield
        mark.unlink()

    def confirmed_job(self, unit: str, metric: int) -> int:
        """A change, applied and to be confirmed; the job, when it has run."""
        self.set(unit, "a", "/metric", metric)
        number = self.start_job(unit, confirm=LONG)
        self.wait_state(number, "succeeded")
        return number

    def restart(self) -> None:
        """End the daemon in order, and start it again."""
        self.daemon.end()
        self.daemon.start()
        self.daemon.wait_ready()


def change_documents(story: Story) -> None:
    """Every kind of change, on units of every data type."""
    now = (story.daemon.unit_dir / SITES).read_text()
    story.load((HERE / "earlier.yaml").read_text())
    story.create("sites", {"name": "www", "port": 80, "aliases": ["www.example.org", "w3"]})
    story.create("sites", {"name": "blog"}, {"name": "shop", "port": 443})
    story.set("sites", "blog", "/port", 8081)
    story.load(now)
    story.set("sites", "www", "/tls/on", True)
    story.change("set", unit="sites", id="shop", instance={"name": "shop", "tls": {"cipher": "old"}, "port": 444})
    story.create("motd", {"text": 'Grüße\n"quoted" \\ 🐧\ttab', "colours": ["red", "no", "1"]})
    story.create("motd", {"width": 72, "colours": []})
    story.create("mail", {"domain": "example.org", "ratio": 1.5}, {"domain": "null", "ratio": 0.1})
    story.change("set", unit="mail", id="null", unset=["/ratio"])
    story.create("packages", *({"name": name} for name in ("nginx", "yes", "0x1f", "~")))
    story.create("packages", {"note": None, "extra": {"deep": [1, [2, {"x": -0.25}]], "": 10**17}})
    story.change("delete", unit="packages", ids=story.keys("packages")[1:2])
    story.create("repositories", {"url": "https://a.example"}, {"url": "b", "enabled": False})
    story.create("hosts", *({"id": number, "address": f"10.0.0.{number}"} for number in (7, 3, 10)))
    story.set("hosts", "3", "/weight", 2)
    story.create("limits", {"core": 0}, {"nofile": 65536, "stack": "unlimited"})
    story.create("limits", {"core": 1})
    story.create("users", {"login": "root", "password": "s3cret-ä", "keys": [{"pin": "123456789", "label": "k"}]})
    story.create("users", {"login": "www"}, {"login": "db", "password": "another secret"})
    story.set("users", "db", "/password", "a new secret")
    story.create("counters", {"name": "n"})
    for value in range(1, 5):
        story.set("counters", "n", "/value", value)


def undo_changes(story: Story) -> None:
    """Undo in every way, and take documents in."""
    for unit in ("sites", "packages", "users"):
        story.change("rollback", unit=unit)
    story.change("redo", unit="users")
    story.change("rollback", unit="sites", steps=2)
    story.change("redo", unit="sites", steps=2)
    story.change("revert", unit="sites", revision="r3")
    story.change("rollback", unit="hosts", to="r14")
    story.change("delete", unit="hosts", ids=["7", "10"])
    story.change("rollback", unit="hosts")
    story.change("rollback", unit="limits")
    units = [
        {"unit": "packages", "instances": [{"name": "apache"}, {"name": "~"}, {"name": "0x1f"}]},
        {"unit": "mail", "instances": [{"domain": "example.org", "relay": "mx"}, {"domain": "example.com"}]},
    ]
    story.change("import", units=units)
    story.change("import", units=units[:1], mode="replace", max_deletes=9)


def run_jobs(story: Story) -> None:
    """Jobs that end in every state."""
    story.apply("deploy", instances=[{"name": "app", "revision": "v1"}, {"name": "lib"}])
    story.wait_over(int(story.change("plan_check", unit="deploy").job or 0))
    story.set("deploy", "app", "/revision", "v2")
    with story.marked("fail-deploy"):
        story.apply("deploy")
    with story.marked("hold-deploy"):
        story.apply("deploy", timeout="1s")
        running = story.start_job("deploy")
        story.wait_state(running, "running")
        waiting = [story.start_job("deploy") for _ in range(3)]
        for number in (waiting[2], running):
            story.call("cancel", job=number)
        story.wait_state(waiting[0], "running")
        os.kill(story.daemon.pid_of("worker 1") or 0, signal.SIGKILL)
        os.kill(story.daemon.pid_of("worker 2") or 0, signal.SIGKILL)
        story.wait_state(waiting[0], "interrupted")
    until(lambda: all(job["over"] for job in story.call("jobs").extra["jobs"]))


def confirm_jobs(story: Story) -> None:
    """Confirmations that end in every way."""
    for unit in ("router", "gateway"):
        story.apply(unit, instances=[{"name": "a"}, {"name": "b", "metric": 9}])
    story.confirmed_job("router", 2)
    story.change("confirm", unit="router")
    story.confirmed_job("router", 3)
    story.wait_state(story.start_job("router", confirm=LONG), "succeeded")
    story.change("confirm", unit="router")
    for metric, mark in ((4, "calm-router"), (5, "fail-router")):
        number = story.confirmed_job("router", metric)
        with story.marked(mark):
            story.change("confirm", unit="router", rollback=True)
            story.wait_over(number)
    story.apply("router")


def restore_backup(story: Story) -> None:
    """Put a backup in the place of the state; then more is changed."""
    backup = str(story.directory / "golden-backup.db")
    output(story.daemon, ["backup", backup])
    story.set("motd", story.keys("motd")[0], "/width", 40)
    story.daemon.end()
    output(story.daemon, ["restore", backup])
    story.daemon.start()
    story.daemon.wait_ready()
    story.create("sites", {"name": "after-the-restore"})
    story.create("sites", {"name": "taken-back"})
    story.change("rollback", unit="sites")
    story.change("delete", unit="motd", ids=story.keys("motd")[:1])
    story.change("rollback", unit="motd")
    output(story.daemon, ["set", "sites", "blog", "--set", "port=8082", "--key", "golden-cli", "-m", "by the command"])


def leave_unfinished(story: Story, target: Path) -> None:
    """A copy of the state while jobs run, wait, are to be confirmed and are taken back."""
    for unit in ("router", "gateway"):
        story.confirmed_job(unit, 6)
    with story.marked("hold-gateway"), story.marked("hold-deploy"):
        story.change("confirm", unit="gateway", rollback=True)
        story.wait_state(story.start_job("deploy"), "running")
        until(lambda: story.call("jobs", unit="gateway").extra["jobs"][0]["state"] == "running")
        for _ in range(2):
            story.start_job("deploy")
        output(story.daemon, ["backup", str(target)])


def ask(directory: Path) -> None:
    """Write what a daemon with a copy of the state says."""
    golden = Golden(directory)
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        place = Path(name)
        shutil.copy(directory / STATE, place / "lmaps.db")
        (directory / "answers/beside.json").write_text(_json(beside(place / "lmaps.db")))
        daemon = RunningDaemon(place, golden.units, plugin_dirs=[HANDLERS])
        try:
            daemon.wait_ready()
            for file, command in golden.commands.items():
                (directory / file).write_bytes(output(daemon, command).encode())
            daemon.lmaps("export", "--tree", str(directory / "exports/tree"), "--reveal")
        finally:
            daemon.end()


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _with_form(file: str, command: list[str]) -> list[str]:
    return [*command, "-o", "json"] if file.startswith("answers/") else command


def make(directory: Path) -> None:
    """Write all of it into ``directory``, in the place of what was there."""
    shutil.rmtree(directory, ignore_errors=True)
    for folder in ("answers", "exports"):
        (directory / folder).mkdir(parents=True)
    shutil.copy(HERE / "units.yaml", directory)
    commands = {file: _with_form(file, command) for file, command in COMMANDS.items()}
    (directory / "commands.json").write_text(_json(commands))
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        story = Story(Path(name))
        try:
            story.daemon.wait_ready()
            for part in (change_documents, undo_changes, run_jobs, confirm_jobs, restore_backup):
                part(story)
            story.daemon.end()
            shutil.copy(story.directory / "lmaps.db", directory / STATE)
            story.daemon.start()
            story.daemon.wait_ready()
            leave_unfinished(story, directory / UNFINISHED)
        finally:
            story.daemon.end()
    (directory / f"{UNFINISHED}.sha256").unlink()
    for database in (STATE, UNFINISHED):
        (directory / database).chmod(0o644)
    ask(directory)


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else HERE / known_revisions()[-1]).resolve())
