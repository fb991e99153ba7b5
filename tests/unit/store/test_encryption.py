"""Secrets sealed at rest: nothing of them is in the files, and nothing opens but in its place and with its key."""

import base64
import os
import sqlite3

import pytest

from lmaps.errors import ConfigError, StateUnusable
from lmaps.model.states import ChangesetKind
from lmaps.store import Document, Edit, KeySealer, Origin, backup, open_store, read_key
from tests.databases import rewrite

WHY = Origin("me")
CANARY = "canary-of-the-state"
KEY = bytes(range(32))


def create(path, sealer, *keys, secret=True):
    with open_store(str(path), sealer) as store:
        for key in keys:
            with store.transaction() as tx:
                text = f'{{"p":"{CANARY}-{key}"}}'
                document = Document(key, text, text, tx.instances.definition("web", "d", "{}"), secret=secret)
                tx.changesets.record("web", ChangesetKind.CREATE, WHY, [Edit(None, document)])


def told(path, sealer):
    with open_store(str(path), sealer) as store, store.transaction() as tx:
        found = [(each.key, each.clear_given, each.clear_completed) for each in tx.instances.all("web")]
        _, keys, _, given, completed, _ = tx.snapshots.texts("web")
        assert list(zip(keys, given, completed, strict=True)) == found
        return found


def test_nothing_of_a_secret_is_in_the_files(tmp_path):
    path = tmp_path / "l.db"
    create(path, KeySealer(KEY), "a", "b")
    with open_store(str(path), KeySealer(KEY)) as store:
        with store.transaction() as tx:
            tx.changesets.rollback("web", WHY)
            tx.changesets.redo("web", WHY)
        store.copy_to(str(tmp_path / "copy.db"))
        files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert CANARY.encode() not in files
    assert [key for key, given, _ in told(path, KeySealer(KEY)) if CANARY in given] == ["a", "b"]
    assert backup.verify(str(tmp_path / "copy.db")) == 4
    backup.restore(str(tmp_path / "copy.db"), str(path), "root")
    assert len(told(path, KeySealer(KEY))) == 2


def test_two_equal_secrets_look_different(tmp_path):
    sealer = KeySealer(KEY)
    assert sealer.seal("same", "1/1/given") != sealer.seal("same", "1/1/given")


def test_without_the_key_or_with_another_one_nothing_is_told(tmp_path):
    path = tmp_path / "l.db"
    create(path, KeySealer(KEY), "a")
    with pytest.raises(StateUnusable, match="it has sealed secrets, and state_key is not configured"):
        told(path, None)
    with pytest.raises(StateUnusable, match="its secrets were sealed with key [0-9a-f]{8}, not [0-9a-f]{8}"):
        told(path, KeySealer(os.urandom(32)))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE document SET given = (SELECT given FROM document WHERE id = 2) WHERE id = 1",
        "UPDATE document SET completed = given WHERE id = 1",
        "UPDATE document SET given = substr(given, 1, length(given) - 8) || 'AAAAAAA=' WHERE id = 1",
        "UPDATE document SET given = substr(given, 1, 20) WHERE id = 1",
        "UPDATE document SET given = given || '*' WHERE id = 1",
    ],
)
def test_what_was_moved_or_damaged_does_not_open(tmp_path, statement):
    path = tmp_path / "l.db"
    create(path, KeySealer(KEY), "a", "b")
    rewrite(path, statement)
    with pytest.raises(StateUnusable, match="a sealed document is damaged"):
        told(path, KeySealer(KEY))


def test_what_was_written_without_a_key_stays_readable(tmp_path):
    path = tmp_path / "l.db"
    create(path, None, "a")
    create(path, KeySealer(KEY), "b")
    create(path, KeySealer(KEY), "c", secret=False)
    assert [key for key, *_ in told(path, KeySealer(KEY))] == ["a", "b", "c"]
    with sqlite3.connect(path) as driver:
        texts = [text for (text,) in driver.execute("SELECT given FROM document ORDER BY id")]
    driver.close()
    assert [text.startswith("sealed:") for text in texts] == [False, True, False]


def test_a_value_is_found_among_sealed_ones(tmp_path):
    create(tmp_path / "l.db", KeySealer(KEY), "a", "b")
    with open_store(str(tmp_path / "l.db"), KeySealer(KEY)) as store, store.transaction() as tx:
        assert [each.key for each in tx.unique_index.find("web", ("p",), [f"{CANARY}-a"])] == ["a"]


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (base64.b64encode(KEY), 0o644, r"others can read it \(mode 0644\)"),
        (base64.b64encode(KEY[:16]), 0o600, "expected 32 bytes in base64"),
        (b"not base64!", 0o600, "expected 32 bytes in base64"),
        (None, 0o600, "No such file"),
    ],
)
def test_a_key_that_is_none(tmp_path, text, mode, words):
    file = tmp_path / "key"
    if text is not None:
        file.write_bytes(text)
        file.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        read_key(str(file))


def test_a_key(tmp_path):
    file = tmp_path / "key"
    file.write_bytes(base64.b64encode(KEY) + b"\n")
    file.chmod(0o600)
    assert read_key(str(file)) == KEY
