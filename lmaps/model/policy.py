"""Access: who may do what on which units.

A policy is a list of lines. The first line that fits the subject and covers the unit decides, for every right: it
grants those that it lists and denies all others. Where no line does, nothing is granted. The lines of the file come
first, the built-in ones after them.
"""

import grp
import os
import pwd
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from lmaps.errors import ConfigError, DocumentRefused, Finding, NotFound
from lmaps.model.schema import Schema
from lmaps.util import yamlio
from lmaps.util.ownership import check_owned, login_name

Right = Literal["list", "show", "reveal", "create", "apply", "rollback", "export", "import", "cancel", "admin"]
RIGHTS: tuple[Right, ...] = get_args(Right)
EVERY = "*"
"""Covers every unit; as a unit that is asked about it means all there could be."""
GROUP = "lmaps"
"""Its members have `GROUP_RIGHTS`, if the host has it."""
GROUP_RIGHTS: tuple[Right, ...] = ("list", "show", "create", "apply", "rollback", "cancel")


_NUMBER = re.compile(r"[0-9]{1,10}")


def _words(item: dict[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1, "description": description}


FORM = Schema(
    {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["subjects", "rights", "units"],
            "additionalProperties": False,
            "properties": {
                "subjects": _words(
                    {"type": "string", "pattern": r"^(uid|gid|key):\S+$"},
                    "Whom the line fits: uid:N or uid:USER, gid:N or gid:GROUP, key:FINGERPRINT.",
                ),
                "rights": _words(
                    {"enum": [*RIGHTS, "all", "none"]}, f"What it grants: {', '.join(RIGHTS)}; or all, or none."
                ),
                "units": _words(
                    {"type": "string", "pattern": r"^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,63}$"},
                    "Names of units; * stands for any characters, ? for one.",
                ),
            },
        },
    }
)
"""The form of a policy file; one word may stand in the place of a list of one."""


class Subject(NamedTuple):
    """Who asks, as the socket proves it.

    ``id`` is one subject's for ever (``uid:1000``, ``key:FINGERPRINT``), ``name`` what people read and what is kept as
    author, ``proofs`` what a line of the policy can fit. Who has none is nobody, and may do nothing.
    """

    id: str
    name: str
    proofs: frozenset[str] = frozenset()


class Line(NamedTuple):
    """One line: the subjects that it fits, the rights that it grants, the names of units that it covers."""

    subjects: frozenset[str]
    rights: frozenset[Right]
    units: tuple[str, ...]
    document: yamlio.Document | None = None
    number: int = 0

    def covers(self, unit: str) -> bool:
        """Whether it is about ``unit``."""
        return any(fnmatchcase(unit, pattern) for pattern in self.units)

    @property
    def words(self) -> str:
        """Where it stands and what it says: ``policy.yaml:4: gid:ops may list, show on web-*``."""
        where = "the built-in line"
        told: dict[str, Any] = {"subjects": sorted(self.subjects)}
        if self.document is not None:
            where = f"{self.document.file}:{self.document.place((self.number,))[0]}"
            told = _listed(self.document.value)[self.number]
        rights = (
            "all" if self.rights == frozenset(RIGHTS) else ", ".join(each for each in RIGHTS if each in self.rights)
        )
        return f"{where}: {', '.join(told['subjects'])} may {rights or 'none'} on {', '.join(self.units)}"


class Decision(NamedTuple):
    """Whether something is allowed, and the line that says so; None where no line is about it."""

    allowed: bool
    line: Line | None = None

    @property
    def words(self) -> str:
        """``allowed by policy.yaml:4: ...``, or ``denied: no line matches``."""
        outcome = "allowed" if self.allowed else "denied"
        return f"{outcome} by {self.line.words}" if self.line else f"{outcome}: no line matches"


def itself(name: str) -> Subject:
    """The daemon itself, under the name that is kept as author."""
    return Subject("lmapsd", name, _ITSELF.subjects)


_ITSELF = Line(frozenset({"lmapsd"}), frozenset(RIGHTS), (EVERY,))


class Policy:
    """The lines in their order. A login and its groups are looked up once: load the policy anew after a change."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self._lines = (_ITSELF, *lines)
        self._subjects: dict[tuple[int | None, int | None, str | None], Subject] = {}

    def subject(self, uid: int | None, gid: int | None = None, key: str | None = None) -> Subject:
        """Who the process of ``uid`` and ``gid`` is, or the holder of ``key``: a key has neither user nor group."""
        known = self._subjects.get((uid, gid, key))
        if known is None:
            known = self._subjects[uid, gid, key] = _subject(uid, gid, key)
        return known

    def named(self, who: str) -> Subject:
        """Who is meant by a user's name, ``uid:``, ``gid:`` or ``key:``; `NotFound` if the host does not know him."""
        kind, _, name = who.partition(":") if ":" in who else ("uid", "", who)
        if kind == "key":
            return self.subject(None, key=name)
        try:
            proof = _proof(f"{kind}:{name}")
        except KeyError:
            raise NotFound(
                f"cannot tell who {who!r} is; expected a user's name, uid:N, gid:N or key:FINGERPRINT"
            ) from None
        return Subject(proof, who, frozenset({proof})) if kind == "gid" else self.subject(int(proof.partition(":")[2]))

    def decide(self, subject: Subject, right: Right, unit: str) -> Decision:
        """Whether ``subject`` has ``right`` on ``unit``, by which line.

        On `EVERY` unit he has it if each of his lines grants it, down to the first one that covers all.
        """
        for line in self._lines_of(subject):
            if unit == EVERY and right not in line.rights:
                return Decision(False, line)
            if EVERY in line.units or (unit != EVERY and line.covers(unit)):
                return Decision(right in line.rights, line)
        return Decision(False)

    def grants_somewhere(self, subject: Subject, right: Right) -> bool:
        """Whether there could be a unit on which ``subject`` has ``right``."""
        for line in self._lines_of(subject):
            if right in line.rights:
                return True
            if EVERY in line.units:
                return False
        return False

    def _lines_of(self, subject: Subject) -> Iterator[Line]:
        return (line for line in self._lines if not line.subjects.isdisjoint(subject.proofs))


def _subject(uid: int | None, gid: int | None, key: str | None) -> Subject:
    if key is not None:
        return Subject(f"key:{key}", f"key:{key}", frozenset({f"key:{key}"}))
    if uid is None:
        return Subject("nobody", login_name(None))
    groups = (f"gid:{each}" for each in _group_numbers(uid, gid))
    return Subject(f"uid:{uid}", login_name(uid), frozenset({f"uid:{uid}", *groups}))


def _group_numbers(uid: int, gid: int | None) -> set[int]:
    """The group that the socket proves, and those of the user's login."""
    proven = set() if gid is None else {gid}
    try:
        login = pwd.getpwuid(uid)
    except KeyError:
        return proven
    return proven | set(os.getgrouplist(login.pw_name, login.pw_gid if gid is None else gid))


def load_policy(file: str | None, owner: int) -> Policy:
    """The policy in ``file``, or the built-in lines alone; ``owner`` is the uid that started the daemon.

    Raises `ConfigError` with every fault and its place, and if somebody else may write it.
    """
    if file is None:
        return Policy(_built_in(owner))
    check_owned(file, owner, "the policy")
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the policy {file}: {error.strerror}") from error
    return Policy([*parse_policy(text, file), *_built_in(owner)])


def _built_in(owner: int) -> Iterator[Line]:
    yield Line(frozenset({"uid:0", f"uid:{owner}"}), frozenset(RIGHTS), (EVERY,))
    try:
        yield Line(frozenset({f"gid:{grp.getgrnam(GROUP).gr_gid}"}), frozenset(GROUP_RIGHTS), (EVERY,))
    except KeyError:
        return


def parse_policy(text: str | bytes, file: str) -> list[Line]:
    """The lines in the text of a policy file; `ConfigError` with every fault and its place."""
    try:
        documents = yamlio.load(text, file=file, events=yamlio.UNIT_EVENTS)
    except DocumentRefused as refused:
        raise ConfigError(f"cannot use the policy {file}", errors=refused.errors) from refused
    if len(documents) > 1:
        raise ConfigError(f"cannot use the policy {file}: it holds {len(documents)} documents, one is expected")
    if not documents:
        return []
    told = _listed(documents[0].value)
    faults = FORM.findings(told) or list(_faults(told))
    if faults:
        raise ConfigError(f"cannot use the policy {file}", errors=documents[0].locate_all(faults))
    return [_line(documents[0], number, each) for number, each in enumerate(told)]


def _listed(told: Any) -> Any:
    """The lines with a list of one in the place of each single word."""
    if not isinstance(told, list):
        return told
    return [
        {name: [value] if isinstance(value, str) else value for name, value in line.items()}
        if isinstance(line, dict)
        else line
        for line in told
    ]


def _faults(told: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """What the form cannot say: users and groups that are not there, and words that exclude others."""
    for number, line in enumerate(told):
        for place, subject in enumerate(line["subjects"]):
            try:
                _proof(subject)
            except KeyError:
                kind = "user" if subject.startswith("uid:") else "group"
                text = f"this host has no {kind} {subject[4:]!r}"
                yield Finding(text, (number, "subjects", place), got=subject)
        alone = {"all", "none"}.intersection(line["rights"])
        if alone and len(line["rights"]) > 1:
            yield Finding(f"{min(alone)} stands alone", (number, "rights"), got=line["rights"])


def _proof(subject: str) -> str:
    """A subject with its number in the place of its name; KeyError if there is no such user or group."""
    kind, _, name = subject.partition(":")
    if kind == "key":
        return subject
    if kind not in ("uid", "gid"):
        raise KeyError(subject)
    if _NUMBER.fullmatch(name):
        return f"{kind}:{int(name)}"
    try:
        return f"uid:{pwd.getpwnam(name).pw_uid}" if kind == "uid" else f"gid:{grp.getgrnam(name).gr_gid}"
    except ValueError as error:
        raise KeyError(subject) from error


def _line(document: yamlio.Document, number: int, told: dict[str, Any]) -> Line:
    rights = RIGHTS if "all" in told["rights"] else tuple(each for each in RIGHTS if each in told["rights"])
    subjects = frozenset(map(_proof, told["subjects"]))
    return Line(subjects, frozenset(rights), tuple(told["units"]), document, number)
