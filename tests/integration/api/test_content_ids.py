"""IDs of documents with secrets: made with a random key of the database, so that nobody can try guesses with them."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmaps.errors import Degraded
from lmaps.model.policy import Line, Policy, Right, Subject
from lmaps.model.units import content_digest
from lmaps.store import open_store
from lmaps.store.encryption import KeySealer
from tests.in_process import InProcess

OPEN = 'meta: {name: vault}\nparams: {properties: {"pin": {}}}\n'
MARKED = 'meta: {name: vault}\nparams: {properties: {"pin": {writeOnly: true}}}\n'
DOCUMENT = {"pin": "1234"}


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[list[InProcess]]:
    for name in "ab":  # each with a key of its own: a copy of a database has the same
        open_store(str(tmp_path / name / "lmaps.db")).close()
    both = [InProcess(tmp_path / name, MARKED) for name in "ab"]
    yield both
    for daemon in both:
        daemon.store.close()


def created(daemon: InProcess) -> tuple[str, str]:
    [row] = daemon.call("create", unit="vault", instances=[DOCUMENT]).extra["instances"]
    return row["id"], row["result"]


def test_a_guess_cannot_be_tried_with_the_id(daemons: list[InProcess]) -> None:
    one, other = (created(daemon)[0] for daemon in daemons)
    assert len({one, other, content_digest(DOCUMENT)}) == 3
    assert created(daemons[0]) == (one, "unchanged")
    assert daemons[0].call("validate", unit="vault", instances=[DOCUMENT]).extra["instances"][0]["id"] == one
    assert daemons[0].call("show", unit="vault", ids=[one[:8]]).extra["state"]
    daemons[0].call("set", unit="vault", id=one, instance={"pin": "2"})
    daemons[0].call("set", unit="vault", id=_only_id(daemons[0]), instance=DOCUMENT)
    assert _only_id(daemons[0]) == one


def _only_id(daemon: InProcess) -> str:
    [row] = daemon.call("show", unit="vault", instances=True).extra["instances"]
    return str(row["id"])


def test_ids_that_are_stored_stay(daemons: list[InProcess]) -> None:
    daemon = daemons[0]
    daemon.load(OPEN)
    old, _ = created(daemon)
    assert old == content_digest(DOCUMENT)
    daemon.load(MARKED)
    assert created(daemon) == (old, "unchanged")
    imported = daemon.call("import", units=[{"unit": "vault", "instances": [DOCUMENT, {"pin": "new"}]}])
    assert [row["result"] for row in imported.extra["instances"]] == ["unchanged", "created"]
    text = MARKED.replace("{writeOnly: true}", "{writeOnly: true, type: string}")
    checked = daemon.call("unit_check", files=[{"name": "f.yaml", "text": text}])
    assert not checked.extra["impacts"]
    daemon.call("delete", unit="vault", ids=[old])
    assert created(daemon)[0] != old
    assert daemon.replayed()


def test_the_key_stays_and_is_sealed_where_secrets_are(tmp_path: Path) -> None:
    path = str(tmp_path / "state.db")
    keys = []
    sealer = KeySealer(b"k" * 32)
    for each in (None, None, sealer, sealer):
        with open_store(path, each) as store, store.transaction() as tx:
            keys.append(tx.content_key)
    assert len(keys[0]) == 32
    assert set(keys) == {keys[0]}
    with open_store(str(tmp_path / "other.db")) as store, store.transaction() as tx:
        assert tx.content_key != keys[0]
    assert keys[0].hex().encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("state.db*"))
    driver = sqlite3.connect(path)
    [(stored,)] = driver.execute("SELECT key FROM content_key").fetchall()
    driver.close()
    assert stored.startswith("sealed:")


@pytest.mark.parametrize("right", ["create", "import", "reveal", None])
def test_who_may_only_look_is_not_told_the_id_of_a_guess(daemons: list[InProcess], right: Right | None) -> None:
    daemon = daemons[0]
    stored, _ = created(daemon)
    daemon.subject = Subject("uid:61001", "ann", frozenset({"uid:61001"}))
    rights: list[Right] = ["show", *([right] if right else [])]
    daemon.service.policy = Policy([Line(daemon.subject.proofs, frozenset(rights), ("*",))])
    [row] = daemon.call("validate", unit="vault", instances=[DOCUMENT]).extra["instances"]
    assert row == {
        "id": stored if right else None,
        "short": stored[:8] if right else None,
        "completed": {"pin": {"$secret": "set"}},
    }


def test_a_damaged_key_leaves_reading(tmp_path: Path) -> None:
    path = str(tmp_path / "state.db")
    open_store(path).close()
    driver = sqlite3.connect(path)
    driver.execute("UPDATE content_key SET checksum = checksum + 1")
    driver.commit()
    driver.close()
    with open_store(path) as store:
        assert "a row of content_key is damaged" in str(store.disk.refusal)
        with store.transaction() as tx:
            assert tx.instances.all("vault") == []
        with pytest.raises(Degraded), store.transaction() as tx:
            tx.instances.definition("vault", "digest", "{}")
