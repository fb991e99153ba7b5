import contextlib
import os
import random
import sqlite3
import stat
import subprocess
import sys

import pytest

from lmaps.errors import AnotherDaemon, StateUnusable
from lmaps.model.states import ChangesetKind
from lmaps.store import Document, Edit, Origin, Store, open_store
from lmaps.store.replay import replay

WHY = Origin("me", "you", "cli", "because", "CHG1", "key")


@pytest.fixture
def store(tmp_path):
    with open_store(str(tmp_path / "state" / "lmaps.db")) as opened:
        yield opened


def create(store: Store, *keys: str, unit: str = "web") -> int:
    with store.transaction() as tx:
        definition = tx.instances.definition(unit, "digest", "{}")
        edits = [Edit(None, Document(key, f'{{"k":"{key}"}}', f'{{"k":"{key}"}}', definition)) for key in keys]
        return tx.changesets.record(unit, ChangesetKind.CREATE, WHY, edits).revision


def rollback(store: Store, unit: str = "web") -> int | None:
    with store.transaction() as tx:
        changeset = tx.changesets.rollback(unit, WHY)
        return changeset.revision if changeset else None


def keys(store: Store, unit: str = "web") -> str:
    with store.transaction() as tx:
        return "".join(instance.key for instance in tx.instances.all(unit))


@pytest.mark.parametrize(
    ("story", "left", "undone"),
    [
        ("", "", ""),
        ("-", "", ""),
        ("a", "a", ""),
        ("a -", "", "a"),
        ("a - -", "", "a"),
        ("a b", "ab", ""),
        ("a b -", "a", "b"),
        ("a b - -", "", "ab"),
        ("a b - c", "ac", ""),
        ("a b - c -", "a", "c"),
        ("a b - c - -", "", "ac"),
        ("ab c -", "ab", "c"),
        ("ab c - -", "", "abc"),
        ("a - b - c", "c", ""),
        ("a b c - - d - -", "", "ad"),
        ("a - a", "a", ""),
        ("a - a - a -", "", "a"),
    ],
)
def test_rollback_as_a_table(store, story, left, undone):
    """A word creates an instance a letter in one change, ``-`` rolls back; undone is what redo brings, next first."""
    for word in story.split():
        if word == "-":
            rollback(store)
        else:
            create(store, *word)
    assert keys(store) == left
    with store.transaction() as tx:
        changes = [change for revision in tx.history.redoable("web") for change in tx.history.changes(revision)]
    assert "".join(change.after.key for change in changes if change.after) == undone


def test_the_state_is_a_function_of_the_changesets(store):
    chosen = random.Random(7)
    for number in range(200):
        if chosen.random() < 0.4:
            rollback(store)
        else:
            create(store, *(f"{number}.{part}" for part in range(chosen.randint(1, 3))))
    with store.transaction() as tx:
        assert replay(tx) == tx.revision()


def test_revisions_count_all_units_without_gaps(store):
    made = [create(store, "a"), create(store, "a", unit="other"), rollback(store), create(store, "b", unit="other")]
    assert made == [1, 2, 3, 4]
    with store.transaction() as tx:
        assert tx.history.units() == ["other", "web"]
        assert tx.revision() == 4
        assert tx.history.newest_revision("web") == 3
        assert tx.history.newest_revision("nothing") is None


def test_what_fails_is_undone_with_its_numbers(store):
    create(store, "a")
    with pytest.raises(KeyError), store.transaction() as tx:
        tx.changesets.record("web", "create", WHY, [Edit(None, Document("b", "{}", "{}", 1))])
        assert tx.session.wrote
        raise KeyError
    assert keys(store) == "a"
    assert create(store, "c") == 2


def test_a_changeset_says_who_and_why(store):
    create(store, "a")
    with store.transaction() as tx:
        head = tx.history.head("web")
    assert (head.kind, head.author, head.on_behalf_of, head.door) == ("create", "me", "you", "cli")
    assert (head.message, head.ticket, head.request_key) == ("because", "CHG1", "key")


def test_instances_are_found_by_key(store):
    create(store, *(f"k{number}" for number in range(1200)))
    with store.transaction() as tx:
        found = tx.instances.find("web", [f"k{number}" for number in range(0, 1300, 100)])
        assert len(found) == 12
        assert tx.instances.count("web") == 1200
        assert tx.instances.outdated("web", "digest", 0, 500) == ([], None)
        pages = [tx.instances.outdated("web", "other", after, 500) for after in (0, 500, 1000)]
        assert [(len(page), last) for page, last in pages] == [(500, 500), (500, 1000), (200, None)]
        assert (tx.instances.is_outdated("web", "digest"), tx.instances.is_outdated("web", "other")) == (False, True)
        assert tx.instances.newest_definition("web") == "{}"


def test_jobs_and_their_lines(store):
    create(store, "a")
    with store.transaction() as tx:
        first = tx.jobs.add("web", "apply", 1, "digest", WHY)
        second = tx.jobs.add("web", "apply", 1, "digest", WHY)
        assert [job.id for job in tx.jobs.queued()] == [first.id, second.id]
        assert tx.jobs.applied_revision("web") is None
        assert tx.jobs.count_pending("web") == 1
        tx.jobs.update(first.id, state="succeeded", started_at="now", summary={"ok": 1})
        assert tx.jobs.find(first.id).summary == {"ok": 1}
        assert (tx.jobs.applied_revision("web"), tx.jobs.count_pending("web"), tx.jobs.last_apply("web").id) == (
            1,
            0,
            first.id,
        )
        tx.jobs.add_lines(1, 1, [{"at": "t", "stream": "output", "text": str(n)} for n in range(5)])
        tx.jobs.add_lines(1, 6, [{"at": "t", "stream": "event", "text": "", "event": {"event": "x"}}])
        assert [line.number for line in tx.jobs.lines(1, after=3)] == [4, 5, 6]
        assert tx.jobs.lines(1, after=5)[0].event == {"event": "x"}
        assert tx.jobs.last_line(1) == 6
        assert [job.id for job in tx.jobs.search(limit=1)] == [2]


def test_what_waits_for_confirmation_is_seen_whatever_becomes_of_a_change(store):
    def waiting() -> list[int]:
        with store.transaction() as tx:
            return [each.id for each in tx.jobs.unconfirmed("web")]

    with store.transaction() as tx:
        tx.changesets.record(
            "web", "create", WHY, [Edit(None, Document("a", "{}", "{}", tx.instances.definition("web", "d", "{}")))]
        )
        job = tx.jobs.add("web", "apply", 1, "d", WHY).id
    assert waiting() == []
    with contextlib.suppress(KeyError), store.transaction() as tx:
        tx.jobs.update(job, confirmation="waiting")
        assert [each.id for each in tx.jobs.unconfirmed("web")] == [job]
        raise KeyError
    assert waiting() == []
    with store.transaction() as tx:
        tx.jobs.update(job, confirmation="waiting")
    assert waiting() == [job]
    with store.transaction() as tx:
        tx.jobs.update(job, confirmation="confirmed")
    assert waiting() == []


def test_old_output_goes_by_class_and_the_jobs_stay(store):
    ended = {
        "succeeded": ["2026-01-01", "2026-05-01"],
        "failed": ["2025-01-01", "2026-01-01"],
        "covered": ["2026-01-01"],
    }
    with store.transaction() as tx:
        for outcome, days in ended.items():
            for day in days:
                job = tx.jobs.add("web", "apply", 1, "d", WHY)
                tx.jobs.add_lines(job.id, 1, [{"at": "t", "stream": "output", "text": "x"}])
                tx.jobs.update(job.id, state=outcome, ended_at=f"{day}T00:00:00.000000Z")
        tx.jobs.add_lines(
            tx.jobs.add("web", "apply", 1, "d", WHY).id, 1, [{"at": "t", "stream": "output", "text": "x"}]
        )
        limits = ("2026-04-01T00:00:00.000000Z", "2025-06-01T00:00:00.000000Z")
        assert tx.jobs.forget_output(*limits, 2) == 2
        assert tx.jobs.forget_output(*limits, 2) == 1
        assert tx.jobs.forget_output(*limits, 2) == 0
        assert [number for number in range(1, 7) if tx.jobs.lines(number)] == [2, 4, 6]
        assert len(tx.jobs.search()) == 6
        assert tx.jobs.applied_revision("web") == 1


def test_a_change_and_its_rollback_leave_nothing_pending(store):
    create(store, "a")
    with store.transaction() as tx:
        job = tx.jobs.add("web", "apply", 1, "digest", WHY)
        tx.jobs.update(job.id, state="succeeded")
    create(store, "b")
    with store.transaction() as tx:
        assert tx.jobs.count_pending("web") == 1
    rollback(store)
    with store.transaction() as tx:
        assert tx.jobs.count_pending("web") == 0
    rollback(store)
    with store.transaction() as tx:
        assert tx.jobs.count_pending("web") == 3


def test_instances_are_counted_on(store):
    def count() -> int:
        with store.transaction() as tx:
            counted: int = tx.instances.count("web")
            return counted

    assert count() == 0
    create(store, "a", "b")
    assert count() == 2
    with pytest.raises(KeyError), store.transaction() as tx:
        tx.changesets.record("web", "create", WHY, [Edit(None, Document("c", "{}", "{}", 1))])
        assert tx.instances.count("web") == 3
        raise KeyError
    assert count() == 2
    with store.transaction() as tx, tx.discarded():
        tx.changesets.rollback("web", WHY)
        assert tx.instances.count("web") == 0
    assert count() == 2
    rollback(store)
    assert count() == 0


def test_what_is_pending_is_counted_on(store):
    def pending() -> int:
        with store.transaction() as tx:
            counted: int = tx.jobs.count_pending("web")
            return counted

    for number in range(1, 6):
        create(store, str(number))
        assert pending() == number
    with pytest.raises(KeyError), store.transaction() as tx:
        tx.changesets.record("web", "create", WHY, [])
        assert tx.jobs.count_pending("web") == 6
        raise KeyError
    with store.transaction() as tx, tx.discarded():
        tx.changesets.rollback("web", WHY)
        assert tx.jobs.count_pending("web") == 6
    assert pending() == 5
    with store.transaction() as tx:
        tx.changesets.retain("web", 2, None)
        assert tx.jobs.count_pending("web") == len(tx.history.changesets("web")) < 5


def test_an_answer_is_kept_under_its_key(store):
    with store.transaction() as tx:
        assert tx.requests.find("k") is None
        tx.requests.add("k", "digest", "create", "web", "{}", 1)
        assert (tx.requests.find("k").digest, tx.requests.find("k").answer) == ("digest", "{}")


def test_old_answers_are_forgotten_by_age_and_by_number(store, monkeypatch):
    for number in range(6):
        monkeypatch.setattr("lmaps.util.times.now", lambda day=number + 1: f"2026-01-0{day}T00:00:00.000000Z")
        with store.transaction() as tx:
            tx.requests.add(f"k{number}", "d", "create", "web", "{}", number)
    with store.transaction() as tx:
        tx.requests.forget("2026-01-02T00:00:00.000000Z", 100)
        assert [number for number in range(6) if tx.requests.find(f"k{number}")] == [1, 2, 3, 4, 5]
        tx.requests.forget("2020-01-01T00:00:00.000000Z", 3)
        assert [number for number in range(6) if tx.requests.find(f"k{number}")] == [3, 4, 5]


def test_files_are_private_and_nobody_opens_them_but_sqlite(tmp_path):
    opened = []

    def hook(event, args):
        if event == "open" and str(args[0]).endswith(("lmaps.db", "lmaps.db-wal", "lmaps.db-shm")):
            opened.append(args[0])

    sys.addaudithook(hook)
    path = tmp_path / "state" / "lmaps.db"
    with open_store(str(path)) as store:
        create(store, "a")
        store.copy_to(str(tmp_path / "copy"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"lmaps.db": 0o600, "lmaps.db-wal": 0o600, "lmaps.db.lineage": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert opened == []


def test_state_survives_being_closed(tmp_path):
    path = str(tmp_path / "lmaps.db")
    with open_store(path) as store:
        create(store, "a")
    with open_store(path) as store:
        assert keys(store) == "a"
        assert create(store, "b") == 2


def test_a_database_that_is_gone_is_not_begun_anew(tmp_path):
    path = tmp_path / "lmaps.db"
    open_store(str(path)).close()
    path.unlink()
    with pytest.raises(StateUnusable, match="is gone"):
        open_store(str(path))


def test_a_database_in_use_is_refused(tmp_path):
    path = str(tmp_path / "lmaps.db")
    open_store(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(AnotherDaemon):
        open_store(path)
    other.close()


@pytest.mark.parametrize("damage", ["text", "tail", "format", "foreign"])
def test_a_damaged_or_foreign_database_is_refused(tmp_path, damage):
    path = tmp_path / "other.db"
    if damage == "foreign":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE theirs (x)")
        other.close()
    else:
        with open_store(str(path)) as store:
            create(store, "a")
        with path.open("r+b") as file:
            if damage == "text":
                file.write(b"this is no database")
            elif damage == "format":
                file.seek(47)
                file.write(b"\x09")
            else:
                file.truncate(path.stat().st_size - 4096)
    with pytest.raises(StateUnusable) as refused:
        open_store(str(path))
    assert refused.value.daemon_level == 65


SHORT_OF_MEMORY = """
import os, sys
from lmaps.errors import StoreError
from lmaps.store.dialects.sqlite import check_database, make_engine, translated_errors

connection = make_engine(sys.argv[1]).connect()
connection.exec_driver_sql(f"PRAGMA hard_heap_limit={sys.argv[2]}")
for _ in range(2):
    try:
        with translated_errors(sys.argv[1]):
            check_database(connection, "quick_check")
    except StoreError as error:
        print(error.code, error.message, flush=True)
os._exit(0)  # there is no memory to end well
"""


def test_a_database_is_not_called_damaged_when_memory_is_short(tmp_path):
    """The first time SQLite says so in its verdict, the second time the driver does: by then the cache is full."""
    path = tmp_path / "lmaps.db"
    with open_store(str(path)) as store:
        create(store, *(f"{number}{'h' * 300}" for number in range(1000)))
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(path)]
    told = [
        subprocess.run([*command, str(limit)], capture_output=True, text=True, check=True).stdout
        for limit in (600_000, 10_000_000)
    ]
    assert told == [2 * "store cannot check the database: there is not enough memory for it\n", ""]


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusable, match="cannot keep state in"):
        open_store(str(tmp_path / "file" / "lmaps.db"))
    assert os.listdir(tmp_path) == ["file"]


def test_instances_are_found_by_any_key_and_read_in_their_order(store):
    odd = ["it's", 'say "so"', "back\\slash", "nul\0", "nul", "é\u2028\x7f", ""]
    create(store, *[f"few{number}" for number in range(3)], unit="few")
    create(store, *odd)
    create(store, *[f"k{number}" for number in range(30)])
    with store.transaction() as tx:
        for unit in ("few", "web"):
            there = tx.instances.all(unit)
            assert tx.snapshots.texts(unit).keys == tuple(each.key for each in there)
            assert list(tx.instances.find(unit, [each.key for each in there]).values()) == there
        wanted = [*odd, "k7", "k7", "none"]
        assert list(tx.instances.find("web", wanted)) == [*odd, "k7"]
        assert tx.snapshots.texts("web", wanted).keys == (*odd, "k7")
        assert tx.instances.find("web", []) == {}
        assert [each.key for each in tx.instances.with_prefix("web", "nul")] == ["nul\0", "nul"]


def test_instances_are_counted_whatever_becomes_of_a_change(store):
    def counted():
        with store.transaction() as tx:
            assert tx.instances.count("web") == len(tx.instances.all("web"))
            counted: int = tx.instances.count("web")
            return counted

    assert counted() == 0
    create(store, "a", "b", "c")
    assert counted() == 3
    rollback(store)
    assert counted() == 0
    with contextlib.suppress(ZeroDivisionError), store.transaction() as tx:
        tx.changesets.redo("web", WHY)
        assert tx.instances.count("web") == 3
        raise ZeroDivisionError
    assert counted() == 0
    with store.transaction() as tx, tx.discarded():
        tx.changesets.redo("web", WHY)
        assert tx.instances.count("web") == 3
    assert counted() == 0
    with store.transaction() as tx:
        tx.changesets.redo("web", WHY)
        there = tx.instances.all("web")
        tx.changesets.record("web", "delete", WHY, [Edit.of(there[0], None), Edit.of(there[1], there[1].document)])
    assert counted() == 2


@pytest.mark.parametrize("seed", range(4))
def test_what_is_known_of_the_line_is_the_line(store, seed):
    chosen = random.Random(seed)
    for _ in range(150):
        with (
            contextlib.suppress(KeyError),
            store.transaction() as tx,
            tx.discarded() if chosen.random() < 0.2 else contextlib.nullcontext(),
        ):
            match chosen.choice(["change", "change", "change", "rollback", "redo", "retain"]):
                case "change":
                    tx.changesets.record("web", "create", WHY, [])
                case "retain":
                    tx.changesets.retain("web", 20, None)
                case word:
                    getattr(tx.changesets, word)("web", WHY, chosen.randint(1, 3))
            if chosen.random() < 0.5:
                head = tx.history.head("web")
                revisions = range(tx.history.horizon("web") + 1, tx.revision() + 1)
                walked = set(tx.history.line(head.line_end)) if head else set()
                assert tx.history.on_line("web", revisions) == walked
            if chosen.random() < 0.1:
                raise KeyError
