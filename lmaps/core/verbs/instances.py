"""Verbs on a unit's instances: create, show, validate."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmaps.core import strict_json
from lmaps.core.data import get_data_type_by_name
from lmaps.core.messages import Reply
from lmaps.core.units import Unit, short_id
from lmaps.core.verbs.call import Call
from lmaps.core.words import plural
from lmaps.errors import AlreadyExists, Finding, NotFound, ValidationFailed
from lmaps.store import Instance

PREFIX = 4
"""The fewest hex digits that may stand for a content ID."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A document that fits its unit: what the client sent, and what it became."""

    key: str
    given: dict[str, Any]
    completed: dict[str, Any]


def create(call: Call) -> Reply:
    """Append instances: all of them, or none. An equal one is "unchanged", another one under the same key refused."""
    unit = call.usable_unit
    accepted = accept(call, unit, call.args["instances"])
    fresh, known = _sort_out(call, unit, accepted)
    revision = None
    if fresh:
        definition = call.state.definition(unit.name, unit.digest, strict_json.encode(unit.definition))
        rows = [(one.key, strict_json.encode(one.given), strict_json.encode(one.completed)) for one in fresh.values()]
        revision = call.state.create(unit.name, call.why, rows, definition).revision
    return Reply(
        f"created {plural(len(fresh), 'instance')} in {unit.name}" if fresh else f"nothing to create in {unit.name}",
        extra={"instances": [_told(one.key, known, revision) for one in accepted]},
        revision=revision or call.state.revision_of(unit.name),
    )


def accept(call: Call, unit: Unit, documents: Sequence[Any]) -> list[Accepted]:
    """The documents with defaults mixed in and an ID each; `ValidationFailed` lists what is wrong in all of them."""
    accepted: list[Accepted] = []
    findings: list[Finding] = []
    for number, given in enumerate(documents):
        try:
            completed = unit.complete(given)
            accepted.append(Accepted(unit.identify(completed), given, completed))
        except ValidationFailed as refused:
            findings += [replace(finding, document=number) for finding in refused.errors]
    if findings:
        raise _refusal(call, findings)
    return accepted


def _refusal(call: Call, findings: Sequence[Finding]) -> ValidationFailed:
    found = plural(len(findings), "error")
    outcome = "" if call.verb == "validate" else ", nothing was changed"
    return ValidationFailed(f"cannot {call.verb} in {call.unit.name}: {found}{outcome}", errors=findings)


def _sort_out(call: Call, unit: Unit, accepted: Sequence[Accepted]) -> tuple[dict[str, Accepted], dict[str, Instance]]:
    """Which documents are new (each once), and which instances are there already; `AlreadyExists` for the others."""
    known = call.state.find(unit.name, [one.key for one in accepted])
    kept = {key: strict_json.canonical(json.loads(instance.completed)) for key, instance in known.items()}
    fresh: dict[str, Accepted] = {}
    clashes: list[Finding] = []
    for number, one in enumerate(accepted):
        text = strict_json.canonical(one.completed)
        if kept.setdefault(one.key, text) != text:
            clashes.append(_clash(unit, one, number))
        elif one.key not in known:
            fresh.setdefault(one.key, one)
    if clashes:
        told = ", ".join(str(clash.got) for clash in clashes[:3]) + (", ..." if len(clashes) > 3 else "")
        raise AlreadyExists(
            f"cannot create in {unit.name}: {told} exists with other content, nothing was changed",
            errors=clashes,
            hint=f"see what is there: lmaps show {unit.name} {clashes[0].got}",
        )
    return fresh, known


def _clash(unit: Unit, one: Accepted, number: int) -> Finding:
    return Finding(
        f"{one.key} exists with other content",
        at=(unit.primary_key,) if unit.primary_key else (),
        got=one.key,
        document=number,
    )


def _told(key: str, known: dict[str, Instance], revision: int | None) -> dict[str, Any]:
    instance = known.get(key)
    result = "unchanged" if instance else "created"
    return {
        "id": key,
        "short": short_id(key),
        "result": result,
        "revision": instance.revision if instance else revision,
    }


def show(call: Call) -> Reply:
    """The state as the handler gets it, of all instances or of those named; or the instances one by one."""
    unit = call.kept_unit
    ids = list(dict.fromkeys(call.args["ids"]))
    instances = _picked(call, unit, ids) if ids else call.state.instances(unit.name)
    extra: dict[str, Any] = {
        "unit": unit.name,
        "type": unit.data_type,
        "primary_key": unit.primary_key,
        "revision": call.state.revision_of(unit.name),
        "applied": call.state.applied_revision(unit.name),
    }
    if call.args["instances"]:
        extra["instances"] = [_row(instance) for instance in instances]
    else:
        extra["state"] = state_of(unit, instances, reverse=call.args["reverse"])
    return Reply(f"{unit.name} has {plural(len(instances), 'instance')}", extra=extra, revision=extra["revision"])


def state_of(unit: Unit, instances: Iterable[Instance], *, reverse: bool = False) -> Any:
    """The completed documents of ``instances`` in the form of the unit's data type."""
    rows = [json.loads(instance.completed) for instance in instances]
    data_type = get_data_type_by_name(unit.data_type)
    return data_type(rows=rows, store_key=unit.store_key, primary_key=unit.primary_key).state(reverse)


def _row(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.key,
        "short": short_id(instance.key),
        "revision": instance.revision,
        "given": json.loads(instance.given),
        "completed": json.loads(instance.completed),
    }


def _picked(call: Call, unit: Unit, ids: Sequence[str]) -> list[Instance]:
    """The instances of these IDs, or of these beginnings of content IDs."""
    exact = call.state.find(unit.name, ids)
    return [exact[wanted] if wanted in exact else _begun(call, unit, wanted) for wanted in ids]


def _begun(call: Call, unit: Unit, wanted: str) -> Instance:
    found = [] if unit.primary_key or len(wanted) < PREFIX else call.state.find_begun(unit.name, wanted)
    if len(found) > 1:
        raise NotFound(f"cannot show {wanted} in {unit.name}: {len(found)} instances begin so; give more digits")
    if not found:
        raise NotFound(f"cannot show {wanted} in {unit.name}: there is no such instance")
    return found[0]


def validate(call: Call) -> Reply:
    """Check documents as create would, and show what they would become; nothing is kept."""
    unit = call.unit
    accepted = accept(call, unit, call.args["instances"])
    rows = [{"id": one.key, "short": short_id(one.key), "completed": one.completed} for one in accepted]
    return Reply(f"{plural(len(rows), 'instance')} fit {unit.name}", extra={"instances": rows})
