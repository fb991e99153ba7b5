"""Whether the subject of a request may ask for what it asks: every request passes `admit`, in `Endpoint.answer`.

Names are judged before anything is looked up: the refusal is the same whether a unit of that name is there or not. A
job of a unit that the subject may not even list is answered as a job that is not there.
"""

from collections.abc import Sequence
from typing import Any, Literal

from lmaps.api import job_queue, kept_answers
from lmaps.api.context import Invocation
from lmaps.errors import NotAllowed, NotFound
from lmaps.model.policy import EVERY_UNIT, Right

Scope = Literal["named", "some", "every"]
"""The units on which the rights of an endpoint have to be held.

``named``: those that the request names, or whose job or request key it names. ``some``: the same; where none is named,
the endpoint keeps to the units that the subject has the right on, and there has to be one. ``every``: all units.
"""

NAMING = frozenset({"unit", "units", "job", "key"})
"""The arguments that name units, or lead to them."""


def admit(ctx: Invocation, rights: Sequence[Right], units: Sequence[str]) -> None:
    """Raise `NotAllowed` unless the subject has all ``rights`` on all ``units``; on some unit, where none is named."""
    subject, policy = ctx.subject, ctx.manager.policy
    if not subject.proofs:
        raise _unproven(ctx)
    for right in rights:
        for unit in units:
            if not policy.decide(subject, right, unit).allowed:
                raise _refusal(ctx, right, unit)
        if not units and not policy.grants_somewhere(subject, right):
            raise _refusal(ctx, right, None)


def _unproven(ctx: Invocation) -> NotAllowed:
    is_key = ctx.subject.id.startswith("key:")
    reason = f"{ctx.subject.name} is no longer authorized" if is_key else "the socket does not prove who asks"
    return NotAllowed(f"cannot {ctx.action}: {reason}")


def is_oneself(ctx: Invocation, who: str) -> bool:
    """Return whether ``who`` is the subject that asks."""
    try:
        return bool(ctx.subject.proofs) and ctx.manager.policy.named(who).id == ctx.subject.id
    except NotFound:
        return False


def name_of(unit: Any) -> str:
    """Return the name in an item of the argument ``units``: a name, or what is to be imported of a unit."""
    if isinstance(unit, str):
        return unit
    name: str = unit["unit"] if isinstance(unit, dict) else unit.unit
    return name


def unit_of_job(ctx: Invocation, number: int, rights: Sequence[Right]) -> str:
    """Return the unit of a job; raise `NotFound` for a job that the subject may not know of."""
    if not ctx.subject.proofs:  # nobody learns which jobs there are
        raise _unproven(ctx)
    unit = job_queue.find(ctx, number).unit
    if not ctx.may(unit, "list") and not ctx.may(unit, *rights):
        raise job_queue.not_there(number)
    return unit


def units_of_key(ctx: Invocation, key: str, rights: Sequence[Right]) -> list[str]:
    """Return the units of the change that the subject made under a request key; a refusal names none of them."""
    if not ctx.subject.proofs:
        raise _unproven(ctx)
    kept = kept_answers.find(ctx, key)
    units = kept.units if kept else []
    if not all(ctx.may(unit, *rights) for unit in units):
        raise NotAllowed(
            f"{ctx.subject.name} has no right {rights[0]} on what the request {key} changed",
            hint="you get the answer by sending the request again with this key",
        )
    return units


def _refusal(ctx: Invocation, right: Right, unit: str | None) -> NotAllowed:
    where = "on any unit" if unit is None else "on all units" if unit == EVERY_UNIT else f"on {unit}"
    return NotAllowed(
        f"{ctx.subject.name} has no right {right} {where}",
        hint=f"lmaps doctor --may {ctx.subject.id} {right} {unit or 'UNIT'}".replace(EVERY_UNIT, "'*'"),
    )
