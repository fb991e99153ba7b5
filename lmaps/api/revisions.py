"""How a revision is named: ``r41``, ``41``, ``@``, ``@~2``, ``applied``, or a time."""

import re

from lmaps.api.context import Invocation
from lmaps.errors import NotFound, UsageError
from lmaps.util import times

_NUMBER = re.compile(r"r?(\d{1,18})\Z")
_BACK = re.compile(r"@~(\d{1,9})\Z")


def resolve(ctx: Invocation, unit: str, text: str) -> int:
    """Return the revision that ``text`` names for ``unit``; 0 is before its first change.

    A revision of another unit means this unit as it was then. Raises `NotFound` for one that is not there, or not kept,
    and `UsageError` for a text that names none.
    """
    if match := _NUMBER.match(text):
        revision = int(match[1])
        if revision > ctx.tx.revision():
            raise NotFound(f"there is no r{revision}, the newest is r{ctx.tx.revision()}")
    elif text == "@":
        revision = ctx.tx.history.newest_revision(unit) or 0
    elif match := _BACK.match(text):
        revision = _steps_back(ctx, unit, int(match[1]))
    elif text == "applied":
        revision = ctx.tx.jobs.applied_revision(unit) or 0
        if not revision:
            raise NotFound(f"{unit} was never applied", hint=f"lmaps apply {unit}")
    else:
        revision = _at(ctx, unit, text)
    horizon = ctx.tx.history.horizon(unit)
    if revision < horizon:
        raise NotFound(f"r{revision} of {unit} is no longer stored: its history begins at r{horizon}")
    return revision


def _steps_back(ctx: Invocation, unit: str, steps: int) -> int:
    """Return the revision that many changes back on the unit's line."""
    head = ctx.tx.history.head(unit)
    line = ctx.tx.history.line(head.line_end if head else None, limit=steps + 1)
    if len(line) > steps:
        return line[steps]
    if len(line) == steps and not ctx.tx.history.horizon(unit):
        return 0
    raise NotFound(f"{unit} has no @~{steps}, its line has {len(line)} changes")


def _at(ctx: Invocation, unit: str, text: str) -> int:
    try:
        moment = times.format_time(times.read_time(text))
    except UsageError:
        message = f"{text!r} is no revision; expected r41, @, @~2, applied or a time (10:00, -2h)"
        raise UsageError(message) from None
    before = ctx.tx.history.changesets(unit, until=moment, limit=1)
    return before[0].revision if before else 0
