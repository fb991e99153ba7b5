"""What is compared with what: the lines of the table, by rooms. What a room needs is ended with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cached_property, partial
from pathlib import Path

from bench import peers
from bench.etcd import Etcd
from bench.gunicorn import Gunicorn
from bench.ours import BIN, FEW, UNIT, Held, Ours, daemon, ready_answer
from bench.processes import Tree, gunicorn_start
from bench.table import MEMORY, RATE, TIME, Line, Measure, Peer, pinned
from bench.timing import process, program, python

NOTHING = {"meta": {"name": "nothing"}, "handler": {"type": "command", "args": {"argv": ["true"]}}}
"""A unit whose apply runs a command that does nothing."""


class Room:
    """A folder, and what is made in it when a line first needs it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack

    def folder(self, name: str) -> Path:
        """A folder of one side's own."""
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        return folder

    def ours(self, name: str, stored: int = 0) -> Ours:
        """A daemon with so many instances."""
        folder = self.folder(name)
        return Ours(folder, self._stack.enter_context(daemon(folder)), stored)

    @cached_property
    def fresh(self) -> Ours:
        """A daemon for creates."""
        return self.ours("fresh")

    @cached_property
    def none(self) -> Ours:
        """A daemon that holds nothing before it is measured."""
        return self.ours("none")

    @cached_property
    def million(self) -> Ours:
        """A daemon with 1,000,000 instances."""
        return self.ours("million", 1_000_000)

    @cached_property
    def held(self) -> Held:
        """A daemon with 10,000 instances."""
        folder = self.folder("held")
        return Held(folder, self._stack.enter_context(daemon(folder, UNIT, FEW, NOTHING)))

    @cached_property
    def tree(self) -> Tree:
        """Daemons whose processes are looked at."""
        return Tree(self.folder("tree"))

    @cached_property
    def echo(self) -> Measure:
        """A REP socket that echoes JSON."""
        return self._stack.enter_context(peers.echo(self.folder("echo")))

    @cached_property
    def ready(self) -> Measure:
        """Our socket and client, with an answer that is ready."""
        return self._stack.enter_context(ready_answer(self.folder("ready"), self.fresh.client.call("status")))

    @cached_property
    def sync(self) -> Measure:
        """The disk."""
        return partial(peers.fdatasync, self.folder("sync"))

    @cached_property
    def sqlite(self) -> peers.RawSqlite:
        """SQLite by itself."""
        return self._stack.enter_context(closing(peers.RawSqlite(self.folder("sqlite"))))

    @cached_property
    def etcd(self) -> Etcd:
        """etcd."""
        return self._stack.enter_context(closing(Etcd(self.folder("etcd"))))

    @cached_property
    def gunicorn(self) -> Gunicorn:
        """gunicorn."""
        return self._stack.enter_context(closing(Gunicorn(self.folder("gunicorn"))))


def requests(room: Room) -> Iterator[Line]:
    """Requests, one by one and many at a time."""
    sync = Peer("fdatasync of 4 KiB", lambda: room.sync)
    yield Line(
        "creates in sequence, free",
        RATE,
        lambda: room.fresh.create,
        (
            Peer("etcd put", lambda: room.etcd.sequential, 1.1, 1.5),
            Peer("sqlite3 INSERT", lambda: room.sqlite.single),
            sync,
        ),
        rounds=11,
    )
    yield Line(
        "creates in sequence, pinned",
        RATE,
        lambda: pinned(room.fresh.create),
        (
            Peer("etcd put, pinned", lambda: pinned(room.etcd.sequential)),
            Peer("fdatasync of 4 KiB", lambda: pinned(room.sync)),
        ),
        rounds=11,
    )
    yield Line(
        "creates, 64 in flight, free",
        RATE,
        lambda: room.fresh.create_in_flight,
        (Peer("etcd put, 64 in flight", lambda: room.etcd.in_flight, 1.1, 1.5), sync),
    )
    yield Line(
        "creates, 64 in flight, pinned",
        RATE,
        lambda: pinned(room.fresh.create_in_flight),
        (Peer("etcd put, 64 in flight, pinned", lambda: pinned(room.etcd.in_flight)),),
    )
    yield Line(
        "creates, a file of 10,000",
        RATE,
        lambda: room.fresh.create_file,
        (Peer("sqlite3, groups of 100 in two tables", lambda: room.sqlite.grouped, 0.3, 0.42), sync),
    )
    echo, ready = "pyzmq REQ/REP echo of JSON", "our socket and client, the answer ready"
    yield Line(
        "status, free",
        RATE,
        lambda: room.fresh.status,
        (Peer(echo, lambda: room.echo, 0.9, 1.4), Peer(ready, lambda: room.ready)),
    )
    yield Line(
        "status, pinned",
        RATE,
        lambda: pinned(room.fresh.status),
        (
            Peer(f"{echo}, pinned", lambda: pinned(room.echo), 0.6, 0.8),
            Peer(f"{ready}, pinned", lambda: pinned(room.ready)),
        ),
    )


def sizes(room: Room) -> Iterator[Line]:
    """Big units."""
    yield Line(
        "show of 10,000, in the daemon",
        TIME,
        lambda: room.held.show,
        (Peer("json.loads of each", lambda: room.held.decode, 0.6, 0.3),),
    )
    yield Line(
        "lmaps export --yaml, 10,000",
        TIME,
        lambda: room.held.lmaps("export", "web", "--yaml"),
        (Peer("CSafeDumper", lambda: room.held.dumper(), 0.3, 0.1),),
    )
    yield Line(
        "rollback at 10,000",
        TIME,
        lambda: room.held.rollback,
        (Peer("create at 10,000", lambda: room.held.one_create, 1.3, 0.9),),
    )
    yield Line(
        "rollback at 1,000,000",
        TIME,
        lambda: room.million.rollback,
        (
            Peer("create at 1,000,000", lambda: room.million.one_create, 1.3, 0.9),
            Peer("rollback at 10,000", lambda: room.held.rollback),
        ),
    )
    yield Line(
        "create at 1,000,000, in sequence",
        RATE,
        lambda: room.million.create,
        (Peer("create at 0", lambda: room.none.create, 0.75, 0.95), Peer("fdatasync of 4 KiB", lambda: room.sync)),
        rounds=11,
    )
    yield Line(
        "create at 1,000,000, in flight",
        RATE,
        lambda: room.million.create_in_flight,
        (Peer("create at 0, in flight", lambda: room.none.create_in_flight, 0.5, 0.8),),
    )


def commands(room: Room) -> Iterator[Line]:
    """Whole commands at a shell."""
    kubectl = Peer("kubectl version --client", lambda: process(program("kubectl"), "version", "--client"), aim=1.0)
    yield Line(
        "lmaps --help",
        TIME,
        lambda: process(BIN / "lmaps", "--help"),
        (Peer("click hello", lambda: python(peers.CLICK, "--help"), 1.15), kubectl),
    )
    yield Line(
        "lmaps show UNIT",
        TIME,
        lambda: room.held.lmaps("show", "few"),
        (Peer("import click, zmq", lambda: python("import click, zmq"), 1.15), kubectl),
    )
    yield Line(
        "lmaps rollback UNIT, 10,000",
        TIME,
        lambda: room.held.rollback_command,
        (Peer("git revert, 10,000 files", lambda: peers.git_revert(room.folder("git"))),),
    )
    yield Line(
        "lmaps apply UNIT, runs true",
        TIME,
        lambda: room.held.lmaps("apply", "nothing"),
        (Peer("salt-call --local cmd.run /bin/true", lambda: peers.salt_call(room.folder("salt"))),),
    )


def processes(room: Room) -> Iterator[Line]:
    """The processes themselves."""
    restart = lambda: room.gunicorn.restart  # noqa: E731
    yield Line("killed worker, ready again", TIME, lambda: room.tree.worker, (Peer("gunicorn's", restart, 1.5, 0.7),))
    yield Line(
        "killed manager, serves again", TIME, lambda: room.tree.manager, (Peer("gunicorn's worker", restart, 5, 2.5),)
    )
    yield Line(
        "memory (PSS), 4 workers, idle",
        MEMORY,
        lambda: room.tree.memory(),
        (Peer("gunicorn, 4 workers", lambda: room.gunicorn.memory, 2, 1.6),),
    )
    libraries = "import sqlalchemy, jsonschema, zmq, yaml"
    yield Line(
        "start to the first answer",
        TIME,
        lambda: room.tree.start(),
        (
            Peer(libraries, lambda: python(libraries), 1.2, 0.9),
            Peer("gunicorn, to its first worker", lambda: gunicorn_start(room.folder("gunicorns"))),
        ),
    )


ROOMS: tuple[Callable[[Room], Iterator[Line]], ...] = (requests, sizes, commands, processes)
