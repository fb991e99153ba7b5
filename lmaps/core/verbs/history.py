"""Verbs on a unit's history: rollback."""

import json
from typing import Any

from lmaps.core.messages import Reply
from lmaps.core.units import short_id
from lmaps.core.verbs.call import Call
from lmaps.core.verbs.instances import state_of
from lmaps.store import Change


def rollback(call: Call) -> Reply:
    """Undo the newest change that is in effect; once more walks further back. The state alone: no handler runs."""
    unit = call.kept_unit
    before = state_of(unit, call.state.instances(unit.name))
    changeset = call.state.rollback(unit.name, call.why)
    if changeset is None:
        return Reply(f"nothing to roll back in {unit.name}", extra={"nothing": True})
    changes = call.state.changes(changeset.revision)
    return Reply(
        f"rolled back r{changeset.target} of {unit.name}",
        extra={
            "undone": changeset.target,
            "removing": [json.loads(change.before_given) for change in changes if change.before_given],
            "before": before,
            "after": state_of(unit, call.state.instances(unit.name)),
            "changes": [_sign(change) for change in changes],
            "applied": call.state.applied_revision(unit.name),
            "pending": call.state.pending(unit.name) > 0,
        },
        revision=changeset.revision,
    )


def _sign(change: Change) -> dict[str, Any]:
    """What happened to one instance: ``+`` came, ``-`` went, ``~`` changed."""
    sign = "+" if change.before_key is None else "-" if change.after_key is None else "~"
    return {"sign": sign, "id": short_id(change.after_key or change.before_key or "")}
