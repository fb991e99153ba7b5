"""How a revision is named: ``r41``, ``41``, ``@``, ``@~2``, ``applied``, or a time."""

import re

from lmaps.api.context import Invocation
from lmaps.errors import NotFound, UsageError
from lmaps.util import times

_NUMBER = re.compile(r"r?(\d{1,18})\Z")
_BACK = re.compile(r"@~(\d{1,9})\Z")


def resolve(call: Invocation, unit: str, text: str) -> int:
    """The revision that ``text`` names for ``unit``; 0 is before its first change.

    A revision of another unit means this unit as it was then. `NotFound` for one that is not there, or not kept.
    """
    if found := _NUMBER.match(text):
        revision = int(found[1])
        if revision > call.tx.revision():
            raise NotFound(f"cannot {call.verb}: there is no r{revision}, the newest is r{call.tx.revision()}")
    elif text == "@":
        revision = call.tx.history.newest_revision(unit) or 0
    elif found := _BACK.match(text):
        revision = _back(call, unit, int(found[1]))
    elif text == "applied":
        revision = call.tx.jobs.applied_revision(unit) or 0
        if not revision:
            raise NotFound(f"cannot {call.verb}: {unit} was never applied", hint=f"lmaps apply {unit}")
    else:
        revision = _at(call, unit, text)
    horizon = call.tx.history.horizon(unit)
    if revision < horizon:
        raise NotFound(f"cannot {call.verb}: the history of {unit} is kept from r{horizon} on, r{revision} is older")
    return revision


def _back(call: Invocation, unit: str, steps: int) -> int:
    """So many changes back on the unit's line."""
    head = call.tx.history.head(unit)
    line = call.tx.history.line(head.line_end if head else None, limit=steps + 1)
    if len(line) > steps:
        return line[steps]
    if len(line) == steps and not call.tx.history.horizon(unit):
        return 0
    raise NotFound(f"cannot {call.verb}: {unit} has no @~{steps}, its line has {len(line)} changes")


def _at(call: Invocation, unit: str, text: str) -> int:
    try:
        moment = times.format_time(times.read_time(text))
    except UsageError:
        raise UsageError(
            f"cannot {call.verb}: {text!r} is no revision; expected r41, @, @~2, applied or a time (10:00, -2h)"
        ) from None
    before = call.tx.history.changesets(unit, until=moment, limit=1)
    return before[0].revision if before else 0
