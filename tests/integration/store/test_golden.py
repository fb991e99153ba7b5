"""What past versions have written is opened, migrated, exported and taken in equal."""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Set
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import lmaps
from lmaps.errors import Conflict
from lmaps.store import Changeset, open_store, replay
from lmaps.store.migrate import known_revisions, migrations_directory
from tests.daemons import RunningDaemon, until
from tests.databases import contents
from tests.golden import HANDLERS, STATE, UNFINISHED, Golden, all_golden, beside, output, tree

pytestmark = pytest.mark.timeout(600)
Start = Callable[..., RunningDaemon]
GOLDEN = all_golden()
HISTORIES = ("exports/history.yaml", "exports/history.json")


@pytest.fixture(params=GOLDEN, ids=lambda golden: golden.directory.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    version: Golden = request.param
    return version


@pytest.fixture
def database(golden: Golden, tmp_path: Path) -> Path:
    return Path(shutil.copy(golden.directory / STATE, tmp_path / "lmaps.db"))


def start(start_daemon: Start, golden: Golden, **settings: Any) -> RunningDaemon:
    """A daemon with the units of the golden state; it has none, unless ``db`` says where one is."""
    return start_daemon(golden.units, plugin_dirs=[HANDLERS], **settings)


def at_least(answer: Any, golden: Any) -> Any:
    """``answer`` without the properties that ``golden`` does not have: a later version may say more."""
    if isinstance(answer, dict) and isinstance(golden, dict):
        return {name: at_least(value, golden[name]) for name, value in answer.items() if name in golden}
    if isinstance(answer, list) and isinstance(golden, list) and len(answer) == len(golden):
        return [at_least(*pair) for pair in zip(answer, golden, strict=True)]
    return answer


def expect_equal(daemon: RunningDaemon, golden: Golden, name: str) -> None:
    """The daemon writes what is kept under this name."""
    written = output(daemon, golden.commands[name])
    if name.startswith("answers/"):
        expected = golden.answer(name)
        assert at_least(json.loads(written), expected) == expected, name
    else:
        assert written == golden.text(name), name


def test_the_tables_of_this_version_have_a_golden_state() -> None:
    assert GOLDEN[-1].directory.name == known_revisions()[-1], "make it: python -m tests.golden.make"


def test_the_newest_golden_state_has_a_value_in_every_column_of_the_changesets() -> None:
    database = GOLDEN[-1].directory / STATE
    counts = ", ".join(f"count({name})" for name in Changeset._fields)
    with closing(sqlite3.connect(f"file:{database}?immutable=1", uri=True)) as driver:
        [row] = driver.execute(f"SELECT {counts} FROM changeset")  # noqa: S608
    assert all(row), dict(zip(Changeset._fields, row, strict=True))


def test_the_golden_state_has_every_kind_of_changeset_and_job(golden: Golden) -> None:
    values: dict[str, set[Any]] = {}
    for name in (STATE, UNFINISHED):
        with closing(sqlite3.connect(f"file:{golden.directory / name}?immutable=1", uri=True)) as driver:
            for column in ("changeset.kind", "job.state", "job.confirmation", "job.kind"):
                rows = driver.execute(f"SELECT DISTINCT {column} FROM {column.partition('.')[0]}")  # noqa: S608
                values.setdefault(column, set()).update(value for (value,) in rows)
    assert values == {
        "changeset.kind": {*"create set delete rollback redo revert import restore".split()},
        "job.state": {*"queued running succeeded failed timed_out cancelled interrupted covered".split()},
        "job.confirmation": {None, *"waiting confirmed rearmed undoing undone undo_failed".split()},
        "job.kind": {"apply", "plan"},
    }


def test_the_database_replays(golden: Golden, database: Path) -> None:
    with closing(sqlite3.connect(f"file:{database}?immutable=1", uri=True)) as driver:
        [(count,)] = driver.execute("SELECT count(*) FROM changeset")
    with open_store(str(database)) as store, store.transaction() as tx:
        assert replay(tx) == count


def test_what_is_beside_the_history_is_read(golden: Golden, database: Path) -> None:
    expected = golden.answer("answers/beside.json")
    assert at_least(beside(database), expected) == expected


def test_the_database_is_exported_and_answers_as_then(
    golden: Golden, database: Path, start_daemon: Start, tmp_path: Path
) -> None:
    daemon = start(start_daemon, golden, db=str(database))
    for name in golden.commands:
        expect_equal(daemon, golden, name)
    output(daemon, ["export", "--reveal", "--tree", str(tmp_path / "tree")])
    assert tree(tmp_path / "tree") == tree(golden.directory / "exports/tree")
    output(daemon, ["import", str(golden.directory / "exports/masked.yaml"), "-m", "secrets stay what they are"])
    expect_equal(daemon, golden, "exports/state.yaml")
    daemon.end()
    assert checked(daemon) == "lmapsd: nothing is wrong\n"


def checked(daemon: RunningDaemon) -> str:
    """What ``lmapsd --check`` says of a daemon's state, which has to be whole."""
    daemon.start("--check")
    assert daemon.process.wait(60) == 0, daemon.output()
    return daemon.output()


@pytest.mark.parametrize("name", ["exports/state.yaml", "exports/state.json", "exports/then.yaml"])
def test_documents_are_taken_in_equal(golden: Golden, start_daemon: Start, name: str) -> None:
    daemon = start(start_daemon, golden)
    output(daemon, ["import", str(golden.directory / name), "-m", "from then"])
    at = golden.commands[name].index("--at") if "--at" in golden.commands[name] else None
    again = golden.commands[name] if at is None else [*golden.commands[name][:at], *golden.commands[name][at + 2 :]]
    assert output(daemon, again) == golden.text(name)


def test_a_tree_is_taken_in_equal(golden: Golden, start_daemon: Start, tmp_path: Path) -> None:
    """But for sites: what was given there and is the default is no longer given after ``migrate``."""
    daemon = start(start_daemon, golden)
    expected = tree(golden.directory / "exports/tree")
    for unit in sorted({folder.partition("/")[0] for folder in expected}):
        store = Path(shutil.copytree(golden.directory / "exports/tree" / unit, tmp_path / "from" / unit))
        output(daemon, ["migrate", "--from-store", str(store), "--unit", unit, "-m", "from then"])
    output(daemon, ["export", "--reveal", "--tree", str(tmp_path / "tree")])
    again = tree(tmp_path / "tree")
    assert again.pop("sites/current") != expected.pop("sites/current")
    assert again == expected


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_is_taken_in_equal(golden: Golden, start_daemon: Start, name: str) -> None:
    daemon = start(start_daemon, golden)
    output(daemon, ["import", str(golden.directory / name)])
    units = {each["unit"] for each in golden.answer("exports/history.json")["units"]}
    for other, asked in golden.commands.items():
        of_history = asked[0] in ("history", "blame", "diff", "show") and asked[1] in units
        if other in HISTORIES or of_history:
            expect_equal(daemon, golden, other)


def test_what_was_unfinished_is_finished(golden: Golden, start_daemon: Start, tmp_path: Path) -> None:
    """A job that ran is repeated, those that waited are run, what nobody has confirmed is taken back."""
    database = Path(shutil.copy(golden.directory / UNFINISHED, tmp_path / "lmaps.db"))
    before = {job["id"]: job for job in beside(Path(shutil.copy(database, tmp_path / "copy.db")))["jobs"]}
    daemon = start(start_daemon, golden, db=str(database))
    with daemon.client() as client:
        with suppress(Conflict):  # if its time is over it is taken back by itself
            client.call("confirm", unit="router", rollback=True)
        until(lambda: all(job["over"] for job in client.call("jobs", limit=1000).extra["jobs"]), within=60)
        after = {job["job"]: job for job in client.call("jobs", limit=1000).extra["jobs"]}
    moved = {number: (job["state"], after[number]["state"]) for number, job in before.items()}
    assert {pair for pair in moved.values() if pair[0] != pair[1]} == {
        ("running", "interrupted"), ("queued", "succeeded"), ("queued", "covered"),
    }  # fmt: skip
    assert {
        (job["confirmation"], after[number]["confirmation"])
        for number, job in before.items()
        if job["confirmation"] != after[number]["confirmation"]
    } == {("waiting", "undone"), ("undoing", "undone")}
    daemon.end()
    assert checked(daemon) == "lmapsd: nothing is wrong\n"


@pytest.mark.parametrize("revision", known_revisions()[2:-1])
def test_older_tables_are_upgraded_equal(golden: Golden, database: Path, start_daemon: Start, revision: str) -> None:
    """The golden database with the tables of each older version, brought back to this one.

    Columns that changesets got after that version are lost on the way, nothing else is.
    """
    open_store(str(database)).close()
    migrate(database, command.downgrade, revision)
    lost = set(Changeset._fields) - set(columns(database, "changeset"))
    assert lost <= Changeset._field_defaults.keys()
    daemon = start(start_daemon, golden, db=str(database))
    assert f"{database.name}.{revision}." in " ".join(path.name for path in database.parent.iterdir())
    for name in ("exports/state.yaml", *(() if lost else HISTORIES)):
        expect_equal(daemon, golden, name)
    if lost:
        history = output(daemon, golden.commands["exports/history.json"])
        assert json.loads(history) == without(lost, golden.answer("exports/history.json"))


def columns(database: Path, table: str) -> list[str]:
    """Return the names of the columns of a table."""
    with closing(sqlite3.connect(database)) as driver:
        return [name for (name,) in driver.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def without(columns: Set[str], export: dict[str, Any]) -> dict[str, Any]:
    """Return an export with histories, its changesets without these columns."""
    for unit in export["units"]:
        unit["history"] = [
            {name: value for name, value in changeset.items() if name not in columns} for changeset in unit["history"]
        ]
    return export


def migrate(database: Path, move: Callable[..., None], revision: str, directory: Path | None = None) -> None:
    """Let Alembic ``move`` a database to another revision of its tables."""
    engine = create_engine(f"sqlite:///{database}", poolclass=NullPool)
    with engine.connect() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(directory or migrations_directory()))
        move(config, revision)
        connection.commit()
    engine.dispose()


HEAD = """\
from pathlib import Path
import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file
revision = "9999"
down_revision = "{head}"
checksums = load_python_file(Path(__file__).parents[1], "checksums.py")
def upgrade():
    {upgrade}
def downgrade():
    pass
"""


def copy_migrations(target: Path, upgrade: str) -> Path:
    """The migrations, and one more that does this."""
    shutil.copytree(migrations_directory(), target, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "versions" / "9999_more.py").write_text(HEAD.format(head=known_revisions()[-1], upgrade=upgrade))
    return target


def test_a_migration_makes_the_checksums_that_the_store_makes(golden: Golden, database: Path, tmp_path: Path) -> None:
    open_store(str(database)).close()
    before = contents(database)
    upgrade = f"[checksums.recompute(op.get_bind(), table) for table in {list(before)}]"
    with closing(sqlite3.connect(database)) as driver, driver:
        for table in before:
            driver.execute(f"UPDATE {table} SET checksum = 0")  # noqa: S608
    migrate(database, command.upgrade, "9999", copy_migrations(tmp_path / "migrations", upgrade))
    assert contents(database) == before
    assert all(before.values())


def make_later_version(directory: Path) -> None:
    """A version of lMaPS whose changesets have a column more: ``added_later``."""
    shutil.copytree(Path(lmaps.__file__).parent, directory / "lmaps", ignore=shutil.ignore_patterns("__pycache__"))
    upgrade = (
        'op.add_column("changeset", sa.Column("added_later", sa.Text(), nullable=True))\n'
        '    checksums.recompute(op.get_bind(), "changeset")'
    )
    copy_migrations(directory / "migrations", upgrade)
    shutil.rmtree(directory / "lmaps" / "migrations", ignore_errors=True)
    before = {
        '    _checksum(),\n    _one_of("kind", ChangesetKind),\n': '    Column("added_later", Text),\n',
        "\n    @classmethod\n    def from_columns(": "    added_later: str | None = None\n",
    }
    changed = 0
    for file in (directory / "lmaps").rglob("*.py"):
        text = file.read_text()
        for lines, more in before.items():
            changed += text.count(lines)
            text = text.replace(lines, more + lines)
        if text != file.read_text():
            file.write_text(text)
    assert changed == len(before), "a column more is one line in the models and one in the rows"


def test_a_version_with_a_column_more_opens_exports_and_takes_in_equal(
    golden: Golden, database: Path, start_daemon: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_later_version(tmp_path)
    with monkeypatch.context() as later:
        later.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
        daemon = start(start_daemon, golden, db=str(database))
        empty = start(start_daemon, golden)
        newer = start(start_daemon, golden)
    for name in ("exports/state.yaml", "exports/state.json", *HISTORIES):
        expect_equal(daemon, golden, name)
    daemon.end()
    assert checked(daemon) == "lmapsd: nothing is wrong\n"
    with closing(sqlite3.connect(f"file:{database}?immutable=1", uri=True)) as driver:
        assert {value for (value,) in driver.execute("SELECT added_later FROM changeset")} == {None}
    output(empty, ["import", str(golden.directory / HISTORIES[0])])
    expect_equal(empty, golden, HISTORIES[1])

    with_value = golden.text(HISTORIES[1]).replace(', "changes": ', ', "added_later": "because", "changes": ', 1)
    (tmp_path / "newer.json").write_text(with_value)
    output(newer, ["import", str(tmp_path / "newer.json")])
    assert output(newer, golden.commands[HISTORIES[1]]) == with_value
    refused = start(start_daemon, golden).lmaps("import", str(tmp_path / "newer.json"))
    assert refused.returncode == 3
    assert re.search(r"r\d+ has the property added_later, which lMaPS [\d.]+ does not know", refused.stderr)
    assert "a newer lMaPS wrote it" in refused.stderr
