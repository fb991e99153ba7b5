"""Verbs that carry state out: export."""

import json
from typing import Any

from lmaps.core.messages import Reply
from lmaps.core.verbs.call import Call
from lmaps.core.words import plural


def export(call: Call) -> Reply:
    """The given documents of the units named, or of all, oldest first, with what redo would bring back."""
    names = list(call.service.units.units)
    names += [name for name in call.state.units() if name not in names]
    for wanted in call.args["units"]:
        call.for_unit(wanted).kept_unit  # noqa: B018 (an unknown unit is told before anything is read)
    rows = [_exported(call, name) for name in call.args["units"] or names]
    count = plural(sum(len(row["instances"]) for row in rows), "instance")
    revision = call.state.revision()
    return Reply(
        f"exported {plural(len(rows), 'unit')}, {count} at r{revision}",
        extra={"units": rows, "revision": revision},
        revision=revision,
    )


def _exported(call: Call, name: str) -> dict[str, Any]:
    unit = call.for_unit(name).kept_unit
    return {
        "unit": name,
        "type": unit.data_type,
        "store_key": unit.store_key,
        "primary_key": unit.primary_key,
        "revision": call.state.revision_of(name),
        "instances": [json.loads(instance.given) for instance in call.state.instances(name)],
        "undone": [
            json.loads(change.after_given)
            for changeset in call.state.undone(name)
            for change in call.state.changes(changeset.revision)
            if change.after_given is not None
        ],
    }
