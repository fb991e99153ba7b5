"""What must hold after any fault: everything acknowledged is there, once and whole, in the order that clients saw."""

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lmaps.api.registry import ENDPOINTS
from lmaps.store.backup import verify
from lmaps.store.requests import OWN
from tests.history_model import Model, Refused, Row
from tests.robustness.load import Entry

WRITES = ("create", "set", "delete", "rollback", "redo", "revert", "import")
CHANGED = ("created", "updated", "deleted")


def rows(database: Path, query: str) -> list[Any]:
    """Rows of a database that no daemon has."""
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def check_database(database: Path) -> int:
    """It is whole, its numbers have no gaps, its instances are what its changesets make; how many changesets."""
    assert verify(str(database)) >= 0
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]
    assert rows(database, "PRAGMA foreign_key_check") == []
    revisions = [revision for (revision,) in rows(database, "SELECT revision FROM changeset ORDER BY revision")]
    assert revisions == list(range(1, len(revisions) + 1)), "a revision is missing, or there is one too many"
    empty = rows(
        database,
        "SELECT revision, kind FROM changeset c WHERE kind IN ('create', 'set', 'delete', 'import') "
        "AND NOT EXISTS (SELECT 1 FROM change WHERE change.revision = c.revision)",
    )
    assert empty == [], "changesets without their changes"
    return len(revisions)


def check_daemon(config: Path, source: Path | None = None) -> None:
    """``lmapsd --check`` finds nothing wrong."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lmapsd"), "--check", "--config", config], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "lmapsd: nothing is wrong\n"), done.stderr


def own_key(key: str) -> str:
    """Under which key the daemon keeps what this user did under ``key``."""
    return OWN + blake2b(f"uid:{os.getuid()}\0{key}".encode(), digest_size=16).hexdigest()


def as_kept(entry: Entry) -> dict[str, Any]:
    """The answer as the daemon keeps it: without the fields that have documents."""
    answer = without_id(entry.reply.to_json())
    shown = ENDPOINTS[entry.verb].shows
    return answer | {"extra": {name: value for name, value in answer["extra"].items() if name not in shown}}


def check_keys(database: Path, journal: Sequence[Entry]) -> None:
    """Each request was done once, with the answer that was given; what certainly was not done was not."""
    answers = {key: json.loads(answer) for key, answer in rows(database, "SELECT key, answer FROM request")}
    made = Counter(rows(database, "SELECT request_key, unit FROM changeset WHERE request_key IS NOT NULL"))
    jobs = Counter(rows(database, "SELECT request_key FROM job WHERE request_key IS NOT NULL AND undoes IS NULL"))
    assert not [key for key, count in [*made.items(), *jobs.items()] if count > 1], "done twice"
    changed: dict[str, set[str]] = {}
    for key, unit in made:
        changed.setdefault(key, set()).add(unit)
    for entry in journal:
        kept = answers.get(own_key(entry.key))
        if entry.never or not entry.acknowledged:
            assert entry.key not in changed, f"refused or never sent, and done: {entry}"
            continue
        if entry.verb not in (*WRITES, "apply"):
            continue
        assert kept is not None, f"acknowledged and lost: {entry}"
        assert without_id(kept) == as_kept(entry), f"two answers to one request: {entry}"
        assert changed.get(entry.key, set()) == changed_units(entry), f"half a change: {entry}"
        assert jobs[(entry.key,)] == int(entry.verb == "apply"), f"a lost job: {entry}"
    known = {entry.key for entry in journal}
    assert changed.keys() <= known and answers.keys() <= set(map(own_key, known)), "done, and nobody has asked for it"


def without_id(reply: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from request to request."""
    return {name: value for name, value in reply.items() if name != "id"}


def changed_units(entry: Entry) -> set[str]:
    """The units that a request has changed, by its answer."""
    extra = entry.reply.extra
    if entry.verb in ("rollback", "redo", "revert"):
        return set() if extra.get("nothing") else {entry.args["unit"]}
    if entry.verb == "apply":
        return set()
    return {row.get("unit", entry.args.get("unit")) for row in extra["instances"] if row["result"] in CHANGED}


def check_order(journal: Sequence[Entry]) -> None:
    """What was answered before something else was sent has the lower revision."""
    changes = [
        (entry, entry.answered, entry.reply.revision)
        for entry in journal
        if entry.acknowledged and entry.verb in WRITES and changed_units(entry)
        if entry.answered is not None and entry.reply is not None and entry.reply.revision is not None
    ]
    assert len(changes) == sum(e.acknowledged and e.verb in WRITES and bool(changed_units(e)) for e in journal)
    answered = sorted((when, revision) for _, when, revision in changes)
    newest, position = 0, 0
    for entry, _, revision in sorted(changes, key=lambda change: change[0].sent):
        while position < len(answered) and answered[position][0] < entry.sent:
            newest = max(newest, answered[position][1])
            position += 1
        assert revision > newest, f"sent after r{newest} was answered: {entry}"


def check_answers(journal: Iterable[Entry]) -> Model:
    """Every answer is what the model says when the changes are done in the order of their revisions; the model then."""
    done = [entry for entry in journal if entry.acknowledged and entry.verb != "apply"]
    model = Model()
    for entry in sorted(done, key=place):
        if entry.verb == "show":
            check_read(model, entry)
        else:
            step(model, entry)
    return model


def place(entry: Entry) -> tuple[int, bool]:
    """Where a request stands: a change at its first revision, what has only seen a revision behind it."""
    changed = changed_units(entry) if entry.verb in WRITES else set()
    return (entry.reply.revision or 0) - max(0, len(changed) - 1), not changed


def step(model: Model, entry: Entry) -> None:
    """Do a request in the model, and compare the answers."""
    before, args = model.revision, entry.args
    try:
        match entry.verb:
            case "create":
                model.create(args["unit"], args["instances"])
            case "set":
                model.set(args["unit"], args["id"], args["instance"], {}, [])
            case "delete":
                model.delete(args["unit"], args["ids"])
            case "import":
                for each in args["units"]:
                    model.import_(each["unit"], each["instances"], "merge", 0)
            case _:
                getattr(model, entry.verb)(args["unit"], 1)
    except Refused as refused:
        raise AssertionError(f"the model refuses ({refused}) what was acknowledged: {entry}") from refused
    units = {unit for _, _, unit, _ in model.log[before:]}
    assert units == changed_units(entry), f"the model changes {units}: {entry}"
    if units:
        assert model.revision == entry.reply.revision, f"the model is at r{model.revision}: {entry}"
    if entry.verb in ("rollback", "redo") and units:
        assert model.log[-1][3] == entry.reply.extra["target"], f"the model undoes another one: {entry}"


def check_read(model: Model, entry: Entry) -> None:
    """A read has seen one revision as a whole."""
    unit = entry.args["unit"]
    told = [(row["id"], json.dumps(row["given"]), row["revision"]) for row in entry.reply.extra["instances"]]
    at = entry.reply.revision or 0
    expected: list[Row] = model.then[at][unit]
    assert told == [(*row.document[:2], row.revision) for row in expected], f"not the state of r{at}: {entry}"


def check_everything(database: Path, config: Path, journal: Sequence[Entry]) -> int:
    """All of it, of a daemon that has ended; how many changes were acknowledged."""
    check_database(database)
    check_daemon(config)
    check_keys(database, journal)
    check_order(journal)
    model = check_answers(journal)
    stored = rows(database, "SELECT unit, key, revision FROM instance ORDER BY unit, id")
    assert stored == [
        (unit, row.document[0], row.revision) for unit in sorted(model.units) for row in model.state(unit)
    ], "the instances are not what the acknowledged changes make"
    return sum(entry.acknowledged and entry.verb in WRITES and bool(changed_units(entry)) for entry in journal)
