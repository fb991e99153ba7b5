"""Rights: subject by verb by unit against an oracle that knows nothing of lMaPS, in process and through real sockets.

The oracle is the first half of this file: plain Python, written from the words of docs/how-to/control-access.md.
"""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lmaps.api.context
import lmaps.api.endpoint
from lmaps import Client, protocol
from lmaps.api import kept_answers
from lmaps.api.arguments import NoArguments
from lmaps.api.context import AfterCommit, Invocation
from lmaps.api.endpoints.show import Show
from lmaps.api.registry import ENDPOINTS, Deferred, Endpoint, RequestContext
from lmaps.config.policy import load_policy, parse_policy
from lmaps.errors import LmapsError, NotAllowed, NotFound
from lmaps.manager import Manager, client_requests, dispatcher
from lmaps.model.policy import Policy
from lmaps.protocol import VERSION, Reply, Request
from lmaps.store import Store, Transaction
from lmaps.transport.server import ServerSocket
from lmaps.transport.zap import Peer
from lmaps.util.jsonio import plain
from tests.daemons import RunningDaemon
from tests.in_process import InProcess, respond
from tests.robustness.conftest import cannot
from tests.robustness.users import as_user

Figure = Callable[[str, str], None]
FAULT = "rights: subject x verb x unit"

# The oracle

ALL = "list show reveal create apply rollback export import cancel admin".split()
OWNER = 61000
"""Who started the daemon."""
PolicyLine = tuple[list[str], list[str], list[str]]
"""Subjects, rights, globs of units."""
BUILT_IN: list[PolicyLine] = [(["uid:0", f"uid:{OWNER}"], ALL, ["*"])]
UNITS = ["web", "db-1", "secret", "ghost"]
"""Of these ``ghost`` is not there."""
THERE = UNITS[:3]


def globbed(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return globbed(pattern[1:], name) or (bool(name) and globbed(pattern, name[1:]))
    return bool(name) and pattern[0] in ("?", name[0]) and globbed(pattern[1:], name[1:])


def has(lines: list[PolicyLine], proofs: set[str], right: str, unit: str) -> bool:
    for subjects, rights, globs in lines:
        if proofs & set(subjects) and any(globbed(glob, unit) for glob in globs):
            return right in rights
    return False


def has_on_every(lines: list[PolicyLine], proofs: set[str], right: str) -> bool:
    for subjects, rights, globs in lines:
        if proofs & set(subjects):
            if right not in rights:
                return False
            if "*" in globs:
                return True
    return False


def has_on_some(lines: list[PolicyLine], proofs: set[str], right: str) -> bool:
    for subjects, rights, globs in lines:
        if proofs & set(subjects):
            if right in rights:
                return True
            if "*" in globs:
                return False
    return False


NAMED: list[tuple[str, dict[str, Any], str]] = [
    ("explain", {}, "list"),
    ("create", {"instances": [{"host": "new"}]}, "create"),
    ("create", {"instances": [{"host": "new"}], "dry_run": True}, "create"),
    ("create", {"instances": [{"host": "new"}], "apply": {}}, "create apply"),
    ("set", {"id": "a", "set": [{"path": "/port", "value": 1}]}, "create"),
    ("set", {"id": "a", "set": [{"path": "/port", "value": 1}], "apply": {}, "dry_run": True}, "create apply"),
    ("delete", {"ids": ["a"]}, "create"),
    ("delete", {"ids": ["a"], "apply": {"timeout": "1m"}}, "create apply"),
    ("show", {}, "show"),
    ("show", {"ids": ["a"], "at": "@", "instances": True}, "show"),
    ("show", {"reveal": True}, "show reveal"),
    ("validate", {"instances": [{}]}, "show"),
    ("rollback", {}, "rollback"),
    ("rollback", {"to": "r1", "dry_run": True}, "rollback"),
    ("rollback", {"states": True}, "rollback"),
    ("rollback", {"apply": {}}, "rollback apply"),
    ("redo", {}, "rollback"),
    ("redo", {"apply": {}}, "rollback apply"),
    ("revert", {"revision": "r1"}, "rollback"),
    ("revert", {"revision": "r1", "apply": {}, "states": True}, "rollback apply"),
    ("history", {}, "show"),
    ("diff", {}, "show"),
    ("blame", {}, "show"),
    ("migrate", {"current": [{}]}, "import"),
    ("apply", {}, "apply"),
    ("apply", {"confirm": "1m"}, "apply"),
    ("apply", {"instances": [{"host": "new"}]}, "apply create"),
    ("apply", {"instances": [{"host": "new"}], "dry_run": True}, "apply create"),
    ("confirm", {}, "apply"),
    ("confirm", {"rollback": True}, "apply"),
    ("plan", {}, "apply"),
    ("plan", {"instances": [{"host": "new"}]}, "apply create"),
    ("plan_check", {}, "apply"),
    ("jobs", {}, "show"),
    ("wait", {"for": "applied"}, "show"),
]
"""Requests that name a unit, and the rights that they take on it."""
SEVERAL: list[tuple[str, Callable[[str], dict[str, Any]], str]] = [
    ("export", lambda unit: {"units": ["web", unit]}, "export"),
    ("export", lambda unit: {"units": [unit, "web"], "reveal": True, "history": True}, "export reveal"),
    ("import", lambda unit: {"units": [{"unit": each, "instances": []} for each in ("web", unit)]}, "import"),
    (
        "import_history",
        lambda unit: {"units": [{"unit": each, "history": [], "definitions": {}} for each in (unit, "web")]},
        "import",
    ),
]
"""Requests that name ``web`` and another unit."""
OF_JOB = [("job", {}, "show"), ("lines", {"after": 0}, "show"), ("cancel", {}, "cancel")]
EVERYWHERE: list[tuple[str, dict[str, Any], str]] = [
    ("backup", {}, "admin"),
    ("backup_read", {"backup": "x", "offset": 0}, "admin"),
    ("reload", {}, "admin"),
    ("audit", {}, "admin"),
    ("may", {"who": "gid:7", "do": "show", "on": "web"}, "admin"),
]
FILTERED: list[tuple[str, dict[str, Any], str, Callable[[dict[str, Any]], set[str]]]] = [
    ("units", {}, "list", lambda extra: {row["unit"] for row in extra["units"]}),
    ("status", {}, "list", lambda extra: {row["unit"] for row in extra["units"]}),
    ("history", {}, "show", lambda extra: {row["unit"] for row in extra["changesets"]}),
    ("jobs", {}, "show", lambda extra: {row["unit"] for row in extra["jobs"]}),
    ("export", {}, "export", lambda extra: {row["unit"] for row in plain(extra["units"])}),
    ("export", {"reveal": True}, "export reveal", lambda extra: {row["unit"] for row in plain(extra["units"])}),
]
"""Requests over all units, and which units an answer tells of."""
UNFILTERED: list[tuple[str, dict[str, Any], str]] = [
    ("handlers", {}, "list"),
    ("discover", {}, "list"),
    ("unit_check", {"files": []}, "list"),
]
"""They take a right on some unit, and tell of none."""
LEGACY: list[tuple[dict[str, Any], str]] = [
    ({"create": True, "instance": {"host": "new"}}, "create"),
    ({"apply": True}, "apply"),
    ({"apply": True, "instance": {"host": "new"}, "create": False}, "apply create"),
    ({"rollback": True}, "rollback"),
    ({"show_summary": True}, "show"),
]

# The policies

POLICY: list[PolicyLine] = [
    (["uid:61006"], [], ["secret"]),
    (["uid:61001"], ["list", "show"], ["web", "ghost"]),
    (["uid:61001"], ALL, ["web"]),
    (["uid:61002", "key:cafe"], ["create", "apply"], ["web", "db-?"]),
    (["gid:62001"], ["list", "show", "create", "apply", "rollback", "cancel"], ["web", "d*"]),
    (["uid:61003"], ["show", "reveal"], ["*"]),
    (["key:beef"], ["list", "export", "import"], ["*"]),
    (["uid:61004"], ["admin"], ["*"]),
    (["uid:61005"], ["admin", "cancel"], ["w*"]),
    (["uid:61006"], ALL, ["*"]),
    (["gid:62002"], ["list", "show", "create", "apply", "rollback", "cancel"], ["*"]),
]
PEERS = {
    "nobody": Peer(),
    "root": Peer(0, 0, 1),
    "owner": Peer(OWNER, 62999, 1),
    "stranger": Peer(61999, 62999, 1),
    "a key that is not known": Peer(key="f00d"),
    **{f"uid:{uid}": Peer(uid, 62999, 1) for uid in range(61001, 61007)},
    "of two groups": Peer(61001, 62001, 1),
    "member": Peer(61998, 62002, 1),
    "cafe": Peer(key="cafe"),
    "beef": Peer(key="beef"),
}


def proofs_of(peer: Peer) -> set[str]:
    """As the lines of a policy name who is at the other end; no user of these numbers has a login, but root."""
    if peer.key is not None:
        return {f"key:{peer.key}"}
    if peer.uid is None:
        return set()
    own = {f"uid:{peer.uid}", f"gid:{peer.gid}"}
    return own | {f"gid:{gid}" for gid in os.getgrouplist("root", 0)} if peer.uid == 0 else own


def random_lines(chance: random.Random) -> list[PolicyLine]:
    names = sorted({proof for peer in PEERS.values() for proof in proofs_of(peer)})
    globs = ["*", "web", "w*", "*e*", "db-1", "db-?", "secret", "ghost", "??b"]
    return [
        (
            chance.sample(names, chance.randint(1, 4)),
            chance.sample(ALL, chance.choice([0, 1, 3, 6, 10])),
            chance.sample(globs, chance.randint(1, 3)),
        )
        for _ in range(chance.randint(0, 12))
    ]


def as_policy(lines: list[PolicyLine]) -> Policy:
    text = json.dumps(
        [
            {"subjects": subjects, "rights": rights if rights else "none", "units": globs}
            for subjects, rights, globs in lines
        ]
    )
    built_in = load_policy(None, OWNER)._lines[1:2]  # a group lmaps, if the host has one, is not the oracle's
    return Policy([*parse_policy(text, "policy.yaml"), *built_in])


# The matrix

TEXTS = "---\n".join(
    f"meta: {{name: {name}, data_type: YamlKeyList, primary_key: host}}\n"
    "params: {type: object, required: [host], properties: {host: {type: string}, port: {type: integer}, "
    "pin: {type: string, writeOnly: true}}}\n"
    for name in THERE
)


class World:
    """A state with an instance, a job and a request key in each unit; whatever is asked leaves nothing behind."""

    def __init__(self, directory: Path) -> None:
        self.lmaps = InProcess(directory, TEXTS)
        for unit in THERE:
            self.lmaps.call("create", unit=unit, instances=[{"host": "a", "pin": "1234"}], key=f"of {unit}")
        self.jobs = {unit: self.lmaps.call("apply", unit=unit).job or 0 for unit in THERE} | {"ghost": 999}
        several = [{"unit": unit, "instances": [{"host": "b"}]} for unit in ("web", "secret")]
        self.lmaps.call("import", units=several, key="of several")
        with self.lmaps.store.transaction() as tx:
            subjects = {Policy().subject(peer.uid, peer.gid, peer.key).id: peer for peer in PEERS.values()}
            for peer in subjects.values():
                subject = Policy().subject(peer.uid, peer.gid, peer.key)
                ctx = Invocation(self.lmaps.service, tx, subject, verb="create")
                for unit in THERE:
                    kept_answers.keep(ctx, f"own of {unit}", "digest", unit, Reply(""))
                extra = {"instances": [{"unit": unit} for unit in ("web", "secret")]}
                kept_answers.keep(ctx, "own of several", "digest", None, Reply("", extra=extra))

    @contextlib.contextmanager
    def open(self) -> Iterator["World"]:
        """Within the block it is asked, all in one transaction."""
        with self.lmaps, self.lmaps.store.transaction() as self.tx:
            yield self

    def ask(self, peer: Peer, request: dict[str, Any]) -> Reply | LmapsError:
        """The answer, or what is refused; the request goes the way that every request goes."""
        service = self.lmaps.service
        with self.tx.discarded():
            visit = RequestContext(service, self.tx, service.policy.subject(peer.uid, peer.gid, peer.key))
            try:
                answer = respond(visit, request)
            except LmapsError as error:
                return error
        return Reply("") if isinstance(answer, Deferred | AfterCommit) else answer

    def verb(self, peer: Peer, verb: str, args: dict[str, Any]) -> Reply | LmapsError:
        return self.ask(peer, {"v": VERSION, "verb": verb, "args": args})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path).open() as made:
        yield made


class Matrix:
    """Compares what is answered with what the oracle says, cell by cell."""

    def __init__(self, world: World, lines: list[PolicyLine]) -> None:
        self.world = world
        self.lines = [*lines, *BUILT_IN]
        world.lmaps.service.policy = as_policy(lines)
        self.cells = 0
        self.granted = 0
        self.wrong: list[str] = []

    def compare(self, *, granted: bool, answer: Reply | LmapsError, cell: str, hidden: bool = False) -> None:
        refused = isinstance(answer, NotFound if hidden else NotAllowed)
        self.cells += 1
        self.granted += granted
        if refused == granted or (hidden and "there is no job" not in str(answer)):
            self.wrong.append(f"{cell}: {'granted' if granted else 'denied'} says the oracle, got {answer!r}")

    def run(self, names: Iterable[str] = PEERS) -> "Matrix":
        for name in names:
            peer = PEERS[name]
            proofs = proofs_of(peer)
            for unit in UNITS:
                self.on_unit(name, peer, proofs, unit)
            self.on_all(name, peer, proofs)
        return self

    def on_unit(self, name: str, peer: Peer, proofs: set[str], unit: str) -> None:
        def holds(rights: str, *units: str) -> bool:
            return all(has(self.lines, proofs, right, each) for right in rights.split() for each in units)

        for verb, args, rights in NAMED:
            answer = self.world.verb(peer, verb, {"unit": unit, **args})
            self.compare(granted=holds(rights, unit), answer=answer, cell=f"{name} {verb} {args} {unit}")
        for verb, made, rights in SEVERAL:
            answer = self.world.verb(peer, verb, made(unit))
            self.compare(granted=holds(rights, "web", unit), answer=answer, cell=f"{name} {verb} web, {unit}")
        for told, rights in LEGACY:
            answer = self.world.ask(peer, told | {"unit_name": unit})
            self.compare(granted=holds(rights, unit), answer=answer, cell=f"{name} legacy {told} {unit}")
        for verb, args, right in OF_JOB:
            answer = self.world.verb(peer, verb, {"job": self.world.jobs[unit], **args})
            cell = f"{name} {verb} job of {unit}"
            hidden = bool(proofs) and (unit == "ghost" or not holds("list", unit))
            granted = holds(right, unit) and unit != "ghost"
            self.compare(granted=granted, answer=answer, cell=cell, hidden=hidden and not granted)
        answer = self.world.verb(peer, "request", {"key": f"of {unit}"})
        self.request_of_another(answer, proofs, f"{name} request of {unit}")
        if unit != "ghost":
            answer = self.world.verb(peer, "request", {"key": f"own of {unit}"})
            self.compare(granted=holds("show", unit), answer=answer, cell=f"{name} own request of {unit}")

    def request_of_another(self, answer: Reply | LmapsError, proofs: set[str], cell: str) -> None:
        """Nothing is known of it: what is answered is what is answered for a key that nobody has used."""
        self.compare(granted=has_on_some(self.lines, proofs, "show"), answer=answer, cell=cell)
        if not isinstance(answer, NotAllowed | NotFound):
            self.wrong.append(f"{cell}: got {answer!r}")

    def on_all(self, name: str, peer: Peer, proofs: set[str]) -> None:
        answer = self.world.verb(peer, "request", {"key": "of several"})
        self.request_of_another(answer, proofs, f"{name} request of several")
        answer = self.world.verb(peer, "request", {"key": "own of several"})
        granted = all(has(self.lines, proofs, "show", unit) for unit in ("web", "secret"))
        self.compare(granted=granted, answer=answer, cell=f"{name} own request of several")
        for verb, args, right in EVERYWHERE:
            granted = has_on_every(self.lines, proofs, right)
            self.compare(granted=granted, answer=self.world.verb(peer, verb, args), cell=f"{name} {verb}")
        for verb, args, right in UNFILTERED:
            granted = has_on_some(self.lines, proofs, right)
            self.compare(granted=granted, answer=self.world.verb(peer, verb, args), cell=f"{name} {verb}")
        for verb, args, rights, told in FILTERED:
            granted = all(has_on_some(self.lines, proofs, right) for right in rights.split())
            answer = self.world.verb(peer, verb, args)
            self.compare(granted=granted, answer=answer, cell=f"{name} {verb} {args}")
            if isinstance(answer, Reply):
                seen = {unit for unit in THERE if all(has(self.lines, proofs, right, unit) for right in rights.split())}
                self.cells += len(THERE)
                if told(answer.extra) != seen:
                    self.wrong.append(f"{name} {verb} {args}: expected {seen}, was told of {told(answer.extra)}")


def test_every_verb_is_in_the_matrix() -> None:
    tried = {verb for verb, *_ in [*NAMED, *SEVERAL, *OF_JOB, *EVERYWHERE, *FILTERED, *UNFILTERED]} | {"request"}
    assert tried == ENDPOINTS.keys()


@pytest.mark.timeout(600)
def test_every_cell_is_what_the_oracle_says(world: World, figure: Figure) -> None:
    matrix = Matrix(world, POLICY).run()
    assert not matrix.wrong, "\n".join(matrix.wrong[:20])
    assert matrix.cells >= 300
    assert matrix.granted > matrix.cells / 10
    figure(FAULT, f"{matrix.cells} of {matrix.cells} cells equal to the oracle")


@pytest.mark.timeout(3600)
def test_every_cell_of_random_policies(
    world: World, figure: Figure, seed: int, rounds: Callable[[int, int], int]
) -> None:
    chance = random.Random(seed)
    cells = 0
    for _ in range(rounds(2, 100)):
        matrix = Matrix(world, random_lines(chance)).run(chance.sample(sorted(PEERS), 5))
        assert not matrix.wrong, "\n".join([f"{matrix.lines}", *matrix.wrong[:20]])
        cells += matrix.cells
    figure(f"{FAULT}, random policies", f"{cells} of {cells} cells equal to the oracle")


# What else a refusal must not do


def policy_of(world: World, *lines: PolicyLine) -> None:
    world.lmaps.service.policy = as_policy(list(lines))


def said(answer: Reply | LmapsError, unit: str) -> tuple[str, str, str]:
    assert isinstance(answer, LmapsError)
    return type(answer).__name__, answer.message.replace(unit, "UNIT"), (answer.hint or "").replace(unit, "UNIT")


def test_a_refusal_does_not_tell_whether_a_unit_is_there(world: World) -> None:
    policy_of(world, (["uid:61001"], [], ["secret", "nothing"]), (["uid:61001"], ["list", "show"], ["*"]))
    stranger, peer = PEERS["stranger"], PEERS["uid:61001"]
    for asking in (stranger, peer):
        for verb, args, _ in NAMED:
            there, gone = (world.verb(asking, verb, {"unit": unit, **args}) for unit in ("secret", "nothing"))
            assert said(there, "secret") == said(gone, "nothing"), verb
    hidden, gone = (world.verb(peer, "job", {"job": number}) for number in (world.jobs["secret"], 999))
    assert str(hidden).replace(str(world.jobs["secret"]), "999") == str(gone)
    for name, near in (("uid:61001", False), ("root", True)):
        answer = world.verb(PEERS[name], "explain", {"unit": "secre"})
        assert ("did you mean secret?" in str(answer)) == near, answer
    told = str(world.verb(peer, "request", {"key": "of secret"}))
    assert "secret" not in told.replace("of secret", "KEY")
    revision = world.tx.history.newest_revision("secret")
    policy_of(world, (["uid:61001"], ["rollback"], ["web"]))
    assert "secret" not in str(world.verb(peer, "revert", {"unit": "web", "revision": f"r{revision}"}))


def test_what_is_in_the_way_is_shown_to_who_may_see_it(world: World) -> None:
    policy_of(world, (["uid:61001"], ["create"], ["web"]), (["uid:61002"], ["create", "show"], ["web"]))
    args = {"unit": "web", "ids": ["a"], "if_rev": "r1"}
    blind, seeing = (world.verb(PEERS[name], "delete", args) for name in ("uid:61001", "uid:61002"))
    assert isinstance(blind, LmapsError) and isinstance(seeing, LmapsError)
    assert (blind.code, seeing.code) == ("outdated", "outdated")
    assert blind.extra["diff"] is None
    assert seeing.extra["diff"]


def test_unit_check_looks_at_what_is_stored_for_who_may_see_it(world: World) -> None:
    policy_of(world, (["uid:61001"], ["list"], ["*"]), (["uid:61002"], ["list", "show", "reveal"], ["*"]))
    text = TEXTS.split("---\n")[0].replace(
        "port: {type: integer}", "port: {type: integer}, zone: {type: string, default: x}"
    )
    for name, impacts, warnings in (("uid:61001", 0, 1), ("uid:61002", 1, 0)):
        told = world.verb(PEERS[name], "unit_check", {"files": [{"name": "f.yaml", "text": text}]})
        assert isinstance(told, Reply)
        assert (bool(told.extra["impacts"]), len(told.extra["warnings"])) == (bool(impacts), warnings), told


def test_an_import_takes_the_right_on_each_unit_or_changes_nothing(world: World) -> None:
    policy_of(world, (["uid:61001"], ["import", "list"], ["web"]))
    units = [{"unit": unit, "instances": [{"host": "new"}]} for unit in ("web", "secret")]
    before = world.tx.revision()
    with world.tx.discarded():
        answer = world.verb(PEERS["uid:61001"], "import", {"units": units})
        assert isinstance(answer, NotAllowed)
        assert "no right import on secret" in answer.message
        assert world.tx.revision() == before


def test_a_request_key_is_its_subjects_alone(world: World) -> None:
    policy_of(world, (["gid:62999"], ["create", "show"], ["web"]))
    request = {"v": VERSION, "verb": "create", "args": {"unit": "web", "instances": [{"host": "k"}]}, "key": "k"}
    visits = {
        uid: RequestContext(world.lmaps.service, world.tx, world.lmaps.service.policy.subject(uid, 62999))
        for uid in (61001, 61002)
    }
    asked = {"v": VERSION, "verb": "request", "args": {"key": "k"}}
    first = respond(visits[61001], request)
    assert isinstance(first, Reply) and first.revision is not None
    assert respond(visits[61001], request) == first
    for verb in ("delete", "create"):
        with pytest.raises(LmapsError, match="was used for another request"):
            respond(visits[61001], request | {"verb": verb, "args": {"unit": "web", **OTHERS[verb]}})
    with pytest.raises(NotFound, match="nothing was done under the key k"):
        respond(visits[61002], asked)
    other = respond(visits[61002], request)
    assert isinstance(other, Reply) and "nothing to create" in other.message
    assert respond(visits[61002], request) == other
    answers = [respond(visit, asked) for visit in visits.values()]
    assert [answer.extra["answer"]["message"] for answer in answers if isinstance(answer, Reply)] == [
        first.message,
        other.message,
    ]
    policy_of(world, (["gid:62999"], ["show"], ["web"]))
    with pytest.raises(NotAllowed):
        respond(visits[61001], request)


OTHERS: dict[str, dict[str, Any]] = {"delete": {"ids": ["k"]}, "create": {"instances": [{"host": "other"}]}}


def test_authors_are_who_the_socket_proves(world: World) -> None:
    policy_of(world, (["gid:62999", "key:cafe"], ["create", "show"], ["web"]))
    for peer, author in ((PEERS["stranger"], "61999"), (PEERS["cafe"], "key:cafe")):
        with world.tx.discarded():
            subject = world.lmaps.service.policy.subject(peer.uid, peer.gid, peer.key)
            args = {"unit": "web", "instances": [{"host": "x"}], "on_behalf_of": "root"}
            respond(
                RequestContext(world.lmaps.service, world.tx, subject),
                {"v": VERSION, "verb": "create", "args": args},
            )
            newest = world.tx.history.changesets("web", limit=1)[0]
            assert (newest.author, newest.on_behalf_of) == (author, "root")


# Names

CLASSES: list[Any] = [
    Endpoint, RequestContext, Manager, client_requests.ClientRequests, client_requests.ClientRequest, dispatcher.Dispatcher, Store, Transaction, Client, Request, Reply,
    Policy, dict, object, type, str, lmaps.api.context.Invocation, lmaps.api.context.ManagerState, ServerSocket,
]  # fmt: skip
MODULES: list[Any] = [lmaps.api.registry, lmaps.api.endpoint, lmaps.api.context, protocol, client_requests, os]


def names() -> list[str]:
    found = {name for thing in (*CLASSES, *MODULES) for name in dir(thing)}
    dotted = {f"{thing.__name__.rpartition('.')[2]}.{name}" for thing in (*CLASSES, *MODULES) for name in dir(thing)}
    odd = {
        "",
        " units",
        "units ",
        "Units",
        "units\n",
        "units\0",
        "units.units",
        "units.__call__",
        "__import__('os')",
        "../units",
    }
    return sorted((found | dotted | odd) - ENDPOINTS.keys())


def test_no_name_but_those_of_the_table_does_anything(world: World, figure: Figure) -> None:
    policy_of(world)
    wrong = [name for name in names() if not isinstance(world.verb(PEERS["root"], name, {}), NotFound)]
    assert not wrong
    told = {f"{name}": True for name in names() if name not in ("create", "apply", "rollback")}
    flags = [name for name in told if not isinstance(world.ask(PEERS["root"], {name: True}), LmapsError)]
    assert set(flags) <= {"list_units", "discover"}
    figure("rights: names that are no verbs", f"{len(names())} of {len(names())} refused")


def test_a_row_without_a_right_cannot_be_made() -> None:
    def function(_ctx: Any, _request: Any) -> Reply:
        return Reply("")

    for right in (None, "", "none", "all", "everything"):
        with pytest.raises(ValueError, match="rights"):
            Endpoint("x", function, Show, right)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rights"):
        Endpoint("x", function, Show, "show", also={"x": "y"})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="names no unit"):
        Endpoint("x", function, NoArguments, "show")
    with pytest.raises(TypeError):
        Endpoint("x", function, Show)  # type: ignore[call-arg]


# Through real sockets


def refused_as(uid: int, gid: int, endpoint: str, requests: list[dict[str, Any]]) -> list[bool]:
    """Which requests are refused to a process of this user and group: a child of ours, which becomes it."""

    def ask() -> list[bool]:
        with Client(endpoint, 60) as client:
            return [client.request(request)["code"] == "not-allowed" for request in requests]

    refused: list[bool] = as_user(ask, uid, gid)
    return refused


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_real_users_are_refused_what_the_oracle_says(
    start_daemon: Callable[..., RunningDaemon], short_path: Path, figure: Figure
) -> None:
    if os.getuid() != 0:
        cannot("only root can become other users")
    lines = [line for line in POLICY if not line[0][0].startswith("key")]
    told = [{"subjects": subjects, "rights": rights or "none", "units": globs} for subjects, rights, globs in lines]
    (short_path / "policy.yaml").write_text(json.dumps(told))
    daemon = start_daemon(TEXTS, policy="../policy.yaml")
    for path, mode in ((short_path, 0o711), (daemon.directory, 0o711), (daemon.directory / "m.sock", 0o666)):
        path.chmod(mode)
    cells = [(verb, {"unit": unit, **args}, rights.split(), unit) for verb, args, rights in NAMED for unit in UNITS]
    cells += [(verb, args, [right], "*") for verb, args, right in EVERYWHERE if verb != "may"]
    requests = [{"verb": verb, "args": args} for verb, args, *_ in cells]
    wrong, count = [], 0
    built_in: PolicyLine = (["uid:0"], ALL, ["*"])
    users = [(peer.uid, peer.gid) for peer in PEERS.values() if peer.uid is not None and peer.gid is not None]
    for uid, gid in users:
        proofs = proofs_of(Peer(uid, gid, 1))
        for cell, refused in zip(cells, refused_as(uid, gid, daemon.endpoint, requests), strict=True):
            _, _, rights, unit = cell
            asked = [
                has_on_every([*lines, built_in], proofs, right)
                if unit == "*"
                else has([*lines, built_in], proofs, right, unit)
                for right in rights
            ]
            count += 1
            if all(asked) == refused:
                wrong.append((uid, gid, cell, refused))
    assert not wrong, wrong[:10]
    assert "Traceback" not in daemon.output()
    figure("rights: real users at the socket", f"{count} of {count} cells equal to the oracle, {len(users)} users")
