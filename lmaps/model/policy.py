"""Access: which subject has which right on which units.

A policy is a list of lines. The first line that names the subject and covers the unit decides, for every right: it
grants the rights that it lists and denies all others. Where no line does, nothing is granted. The lines of the policy
file come first (`lmaps.config.policy` reads it), the built-in ones after them.
"""

import grp
import os
import pwd
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, get_args

from lmaps.errors import NotFound
from lmaps.util.ownership import login_name

Right = Literal["list", "show", "reveal", "create", "apply", "rollback", "export", "import", "cancel", "admin"]
RIGHTS: tuple[Right, ...] = get_args(Right)
EVERY_UNIT = "*"
"""The pattern of a line for every unit; as the unit of a question it means all units there could be."""
GROUP = "lmaps"
"""The group whose members have `GROUP_RIGHTS`, if the host has it."""
GROUP_RIGHTS: tuple[Right, ...] = ("list", "show", "create", "apply", "rollback", "cancel")

# longer numbers are no uid, and int() of a very long one takes long
_NUMBER = re.compile(r"[0-9]{1,10}")


class Subject(NamedTuple):
    """A sender of requests, as the socket proves who it is.

    ``id`` never belongs to another subject (``uid:1000``, ``key:FINGERPRINT``). ``name`` is for people, and is recorded
    as the author. ``proofs`` are what lines of the policy can name: the user, the groups or the key. A subject without
    any is nobody, and has no rights.
    """

    id: str
    name: str
    proofs: frozenset[str] = frozenset()


class Line(NamedTuple):
    """One line: the subjects that it names, the rights that it grants, patterns of the units that it covers.

    ``number`` counts from 0 in the file at ``place``; ``written`` are the subjects as they are written there.
    """

    subjects: frozenset[str]
    rights: frozenset[Right]
    units: tuple[str, ...]
    number: int = 0
    place: str = "the built-in line"
    written: tuple[str, ...] = ()

    def covers(self, unit: str) -> bool:
        """Return whether the line is about ``unit``."""
        return any(fnmatchcase(unit, pattern) for pattern in self.units)

    @property
    def description(self) -> str:
        """The place and the content: ``policy.yaml:4: gid:ops may list, show on web-*``."""
        subjects = ", ".join(self.written or sorted(self.subjects))
        rights = ", ".join(right for right in RIGHTS if right in self.rights) or "none"
        granted = "all" if self.rights == frozenset(RIGHTS) else rights
        return f"{self.place}: {subjects} may {granted} on {', '.join(self.units)}"


class Decision(NamedTuple):
    """Whether something is allowed, and the line that decides it; None where no line does."""

    allowed: bool
    line: Line | None = None

    @property
    def message(self) -> str:
        """``allowed by policy.yaml:4: ...``, or ``denied: no line matches``."""
        outcome = "allowed" if self.allowed else "denied"
        return f"{outcome} by {self.line.description}" if self.line else f"{outcome}: no line matches"


def daemon_subject(name: str) -> Subject:
    """Return the daemon as a subject that has every right; ``name`` is recorded as the author."""
    return Subject("lmapsd", name, _DAEMON.subjects)


_DAEMON = Line(frozenset({"lmapsd"}), frozenset(RIGHTS), (EVERY_UNIT,))


def built_in_lines(owner: int) -> Iterator[Line]:
    """Yield the lines that hold after those of a file: for root, the ``owner`` of the daemon, and the group lmaps."""
    yield Line(frozenset({"uid:0", f"uid:{owner}"}), frozenset(RIGHTS), (EVERY_UNIT,))
    try:
        yield Line(frozenset({f"gid:{grp.getgrnam(GROUP).gr_gid}"}), frozenset(GROUP_RIGHTS), (EVERY_UNIT,))
    except KeyError:
        return


class Policy:
    """The lines in their order. A login and its groups are looked up once: load the policy anew after a change."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self._lines = (_DAEMON, *lines)
        self._subjects: dict[tuple[int | None, int | None, str | None], Subject] = {}

    def subject(self, uid: int | None, gid: int | None = None, key: str | None = None) -> Subject:
        """Return the subject of a process of ``uid`` and ``gid``, or the holder of ``key``.

        A holder of a key has neither user nor group: at a TCP socket nothing proves them.
        """
        subject = self._subjects.get((uid, gid, key))
        if subject is None:
            subject = self._subjects[uid, gid, key] = _subject(uid, gid, key)
        return subject

    def named(self, name: str) -> Subject:
        """Return the subject of a user's name, ``uid:``, ``gid:`` or ``key:``.

        Raises `NotFound` if the host has no such user or group.
        """
        kind, _, value = name.partition(":") if ":" in name else ("uid", "", name)
        if kind == "key":
            return self.subject(None, key=value)
        try:
            proof = resolve_subject(f"{kind}:{value}")
        except KeyError:
            raise NotFound(
                f"cannot tell who {name!r} is; expected a user's name, uid:N, gid:N or key:FINGERPRINT"
            ) from None
        return Subject(proof, name, frozenset({proof})) if kind == "gid" else self.subject(int(proof.partition(":")[2]))

    def decide(self, subject: Subject, right: Right, unit: str) -> Decision:
        """Return whether ``subject`` has ``right`` on ``unit``, and the line that says so.

        A subject has a right on `EVERY_UNIT` if each of its lines grants it, down to the first that covers all units.
        """
        for line in self._lines:
            if line.subjects.isdisjoint(subject.proofs):
                continue
            if unit == EVERY_UNIT and right not in line.rights:
                return Decision(False, line)
            if EVERY_UNIT in line.units or (unit != EVERY_UNIT and line.covers(unit)):
                return Decision(right in line.rights, line)
        return Decision(False)

    def grants_somewhere(self, subject: Subject, right: Right) -> bool:
        """Return whether there could be a unit on which ``subject`` has ``right``."""
        for line in self._lines:
            if line.subjects.isdisjoint(subject.proofs):
                continue
            if right in line.rights:
                return True
            if EVERY_UNIT in line.units:
                return False
        return False


def _subject(uid: int | None, gid: int | None, key: str | None) -> Subject:
    if key is not None:
        return Subject(f"key:{key}", f"key:{key}", frozenset({f"key:{key}"}))
    if uid is None:
        return Subject("nobody", login_name(None))
    groups = (f"gid:{number}" for number in _group_numbers(uid, gid))
    return Subject(f"uid:{uid}", login_name(uid), frozenset({f"uid:{uid}", *groups}))


def _group_numbers(uid: int, gid: int | None) -> set[int]:
    """Return the group that the socket proves, and those of the user's login."""
    proven = set() if gid is None else {gid}
    try:
        login = pwd.getpwuid(uid)
    except KeyError:
        return proven
    return proven | set(os.getgrouplist(login.pw_name, login.pw_gid if gid is None else gid))


def resolve_subject(subject: str) -> str:
    """Return a subject with the number of its user or group instead of the name.

    Raises KeyError if the host has no such user or group.
    """
    kind, _, name = subject.partition(":")
    if kind == "key":
        return subject
    if kind not in ("uid", "gid"):
        raise KeyError(subject)
    if _NUMBER.fullmatch(name):
        return f"{kind}:{int(name)}"
    try:
        return f"uid:{pwd.getpwnam(name).pw_uid}" if kind == "uid" else f"gid:{grp.getgrnam(name).gr_gid}"
    except ValueError as error:  # a name with a NUL character
        raise KeyError(subject) from error
