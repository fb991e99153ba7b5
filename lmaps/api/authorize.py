"""Whether the subject of a request may ask for what it asks. Every request passes `admit`, in `Endpoint.answer`.

Names are judged before anything is looked up: the refusal is the same whether a unit of that name is there or not. A
job of a unit that the subject may not even list is a job that is not there.
"""

import json
from collections.abc import Sequence
from typing import Literal

from lmaps.api import job_queue
from lmaps.api.context import Invocation
from lmaps.errors import NotAllowed, NotFound
from lmaps.model.policy import EVERY_UNIT, Right, Subject
from lmaps.store import StoredRequest

Scope = Literal["named", "some", "every"]
"""What a verb's rights have to be held on.

``named``: the units that the request names, or whose job or request key it names. ``some``: the same; where none is
named the verb keeps to the units that the subject has the right on, and there has to be one. ``every``: all units.
"""

NAMING = frozenset({"unit", "units", "job", "key"})
"""The arguments that name units, or lead to them."""


def admit(call: Invocation, rights: Sequence[Right], scope: Scope) -> None:
    """Let the request pass; `NotAllowed` says which right is missing, and where."""
    if not call.subject.proofs:
        raise NotAllowed(f"cannot {call.verb}: {_unproven(call.subject)}")
    units = [EVERY_UNIT] if scope == "every" else _named(call, rights)
    for right in rights:
        for unit in units:
            if not call.may(unit, right):
                raise _refusal(call, right, unit)
        if not units and not call.manager.policy.grants_somewhere(call.subject, right):
            raise _refusal(call, right, None)


def _unproven(subject: Subject) -> str:
    if subject.id.startswith("key:"):
        return f"{subject.name} is no longer authorized"
    return "the socket does not prove who asks"


def is_oneself(call: Invocation, who: str) -> bool:
    """Whether ``who`` is the subject that asks."""
    try:
        return bool(call.subject.proofs) and call.manager.policy.named(who).id == call.subject.id
    except NotFound:
        return False


def _named(call: Invocation, rights: Sequence[Right]) -> list[str]:
    """The units that the request names, or whose job or key it names."""
    if "job" in call.args:
        return [_unit_of_job(call, rights)]
    if "key" in call.args:
        return _units_of_key(call, rights)
    if "unit" in call.args:
        return [call.args["unit"]]
    return [each if isinstance(each, str) else each["unit"] for each in call.args.get("units", ())]


def _unit_of_job(call: Invocation, rights: Sequence[Right]) -> str:
    unit = job_queue.find(call).unit
    if not call.may(unit, "list") and not call.may(unit, *rights):
        raise job_queue.not_there(call)
    return unit


def _units_of_key(call: Invocation, rights: Sequence[Right]) -> list[str]:
    """The units of what was done under the key. A refusal names none of them."""
    kept = call.tx.requests.find(call.args["key"])
    units = _units_of(kept) if kept else []
    if not all(call.may(unit, *rights) for unit in units):
        raise NotAllowed(
            f"cannot {call.verb} {call.args['key']}: {call.subject.name} has no right {rights[0]} on what it changed",
            hint="its own subject is told by sending it again with this key",
        )
    return units


def _units_of(kept: StoredRequest) -> list[str]:
    """The one unit of a change; an import's answer names all of its."""
    if kept.unit is not None:
        return [kept.unit]
    extra = json.loads(kept.answer)["extra"]
    return [*extra.get("units", ()), *(row["unit"] for row in extra.get("instances", ()))]


def _refusal(call: Invocation, right: Right, unit: str | None) -> NotAllowed:
    where = "on any unit" if unit is None else "on all units" if unit == EVERY_UNIT else f"on {unit}"
    return NotAllowed(
        f"cannot {call.verb}: {call.subject.name} has no right {right} {where}",
        hint=f"lmaps doctor --may {call.subject.id} {right} {unit or 'UNIT'}".replace(EVERY_UNIT, "'*'"),
    )
