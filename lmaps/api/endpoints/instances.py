"""Verbs on a unit's instances: create, set, delete, validate."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lmaps.api import changes
from lmaps.api.context import Invocation
from lmaps.errors import AlreadyExists, Finding, MessageRefused, NotFound, RuleBroken, TookTooLong, ValidationFailed
from lmaps.model.diff import MISSING, Clash, Difference, changed, parse_pointer, pointer, same
from lmaps.model.states import ChangesetKind
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.store import Document, Edit, Instance
from lmaps.util.text import plural
from lmaps.util.timelimit import TimeLimit, slow_part

PREFIX = 4
"""The fewest hex digits that may stand for a content ID."""


class Accepted(NamedTuple):
    """A document that fits its unit: what the client sent, and what it became."""

    key: str
    given: dict[str, Any]
    completed: dict[str, Any]


def create(call: Invocation) -> Reply:
    """Append instances: all of them, or none. An equal one is "unchanged", another one under the same key refused."""
    unit = call.usable_unit
    accepted = accept(call, unit, call.args["instances"])
    fresh, known = _sort_out(call, unit, accepted)
    edits = [Edit(None, stored(call, unit, one)) for one in fresh.values()]
    made = changes.record(call, unit, ChangesetKind.CREATE, edits)
    revision = made.revision if made else None
    return Reply(
        f"created {plural(len(fresh), 'instance')} in {unit.name}" if fresh else f"nothing to create in {unit.name}",
        extra={"instances": [_created(one.key, known, revision) for one in accepted]},
        revision=revision or call.tx.history.newest_revision(unit.name),
    )


def stored(call: Invocation, unit: Unit, one: Accepted) -> Document:
    """What is stored of an accepted document."""
    return changes.document(call, unit, one.key, one.given, one.completed)


def set_(call: Invocation) -> Reply:
    """Update an instance, or insert it: a document replaces it, ``set`` and ``unset`` change properties of it."""
    unit = call.usable_unit
    wanted = call.args["id"]
    instance = find(call, unit, wanted, missing_ok=unit.primary_key is not None)
    [one] = accept(call, unit, [_wanted(call, unit, instance)])
    _check_key(call, unit, instance, one)
    if instance and same(json.loads(instance.completed), one.completed):
        return _wrote(call, f"nothing to set in {unit.name}", [_told(instance.key, "unchanged", instance.revision)])
    document = stored(call, unit, one)
    made = changes.record(
        call, unit, ChangesetKind.SET, [Edit.of(instance, document) if instance else Edit(None, document)]
    )
    result = _told(one.key, "updated" if instance else "created", made.revision if made else None)
    return _wrote(call, f"set {result['short']} in {unit.name}", [result])


def _wanted(call: Invocation, unit: Unit, instance: Instance | None) -> Any:
    """The document as it is to be given: the one that was sent, or the one that is there, changed."""
    given = call.args.get("instance")
    properties = [Difference.from_json(each | {"after": each["value"]}) for each in call.args["set"]]
    properties += [Difference(parse_pointer(path), MISSING, MISSING) for path in call.args["unset"]]
    if given is None and not properties:
        raise MessageRefused("cannot set nothing: give a document, or properties to set or to unset")
    there = json.loads(instance.given) if instance else {}
    base = there if given is None else unit.secrets.unmasked(given, there)
    key = unit.primary_key
    if key is not None and key not in base and instance is None:
        base = {key: _key_value(unit, call.args["id"])} | base
    elif key is not None and key not in base and instance is not None:
        base = {key: json.loads(instance.completed)[key]} | base
    try:
        return changed(base, properties)
    except Clash as clash:
        path = pointer(clash.path)
        raise MessageRefused(
            f"cannot set in {unit.name}: there is nothing below {path} of {call.args['id']}"
        ) from clash


def _key_value(unit: Unit, text: str) -> Any:
    """The primary key's value that an ID stands for."""
    integer = unit.params["properties"][unit.primary_key].get("type") == "integer"
    return int(text) if integer and text.removeprefix("-").isdecimal() else text


def _check_key(call: Invocation, unit: Unit, instance: Instance | None, one: Accepted) -> None:
    wanted = instance.key if instance else call.args["id"]
    if one.key == wanted:
        return
    if unit.primary_key is not None:
        text = f"cannot set in {unit.name}: {unit.primary_key} of {wanted} cannot become {one.key}"
        hint = (
            f"lmaps create {unit.name} makes a new instance, lmaps delete {unit.name} {wanted} takes the old one away"
        )
        raise RuleBroken(f"{text}: it names the instance", hint=hint)
    if call.tx.instances.find(unit.name, [one.key]):
        raise AlreadyExists(f"cannot set in {unit.name}: {short_id(one.key)} has this content already")


def delete(call: Invocation) -> Reply:
    """Delete instances: all that are named, or none."""
    unit = call.kept_unit
    there = picked(call, unit, list(dict.fromkeys(call.args["ids"])))
    gone = list({instance.id: instance for instance in there}.values())
    made = changes.record(call, unit, ChangesetKind.DELETE, [Edit.of(instance, None) for instance in gone])
    revision = made.revision if made else None
    rows = [_told(instance.key, "deleted", revision) for instance in gone]
    return _wrote(call, f"deleted {plural(len(rows), 'instance')} in {unit.name}", rows)


def _wrote(call: Invocation, message: str, rows: list[dict[str, Any]]) -> Reply:
    return Reply(message, extra={"instances": rows}, revision=call.tx.history.newest_revision(call.args["unit"]))


def accept(call: Invocation, unit: Unit, documents: Sequence[Any]) -> list[Accepted]:
    """The documents with defaults mixed in and an ID each; `ValidationFailed` lists what is wrong in all of them."""
    try:
        accepted, findings = call.limit.run(f"{call.verb} in {unit.name}", _checked, unit, documents, call.limit)
    except TookTooLong as over:
        raise TookTooLong(over.message, errors=[_slow_place(unit, documents, call.limit.position)]) from over
    if findings:
        raise _refusal(call, findings)
    return accepted


def _checked(unit: Unit, documents: Sequence[Any], limit: TimeLimit) -> tuple[list[Accepted], list[Finding]]:
    """The documents that fit, and what is wrong in the others."""
    accepted: list[Accepted] = []
    findings: list[Finding] = []
    for number, given in enumerate(documents):
        limit.position = number
        masks = unit.secrets.still_masked(given)
        findings += [Finding("it is masked: give the secret itself", at=path, document=number) for path in masks]
        if masks:
            continue
        try:
            completed = unit.complete(given)
            accepted.append(Accepted(unit.identify(completed), given, completed))
        except ValidationFailed as refused:
            findings += [finding._replace(document=number) for finding in refused.errors]
    return accepted, findings


def _slow_place(unit: Unit, documents: Sequence[Any], number: int) -> Finding:
    """Return where the check of document ``number`` takes too long."""
    path = slow_part(unit.complete, documents[number]) if documents else ()
    return Finding("checking it takes too long", path, document=number)


def _refusal(call: Invocation, findings: Sequence[Finding]) -> ValidationFailed:
    found = plural(len(findings), "error")
    outcome = "" if call.verb == "validate" else ", nothing was changed"
    return ValidationFailed(f"cannot {call.verb} in {call.unit.name}: {found}{outcome}", errors=findings)


def _sort_out(
    call: Invocation, unit: Unit, accepted: Sequence[Accepted]
) -> tuple[dict[str, Accepted], dict[str, Instance]]:
    """Which documents are new (each once), and which instances are there already; `AlreadyExists` for the others."""
    known = call.tx.instances.find(unit.name, [one.key for one in accepted])
    there = {key: json.loads(instance.completed) for key, instance in known.items()}
    fresh: dict[str, Accepted] = {}
    clashes: list[Finding] = []
    for number, one in enumerate(accepted):
        if one.key not in there:
            there[one.key], fresh[one.key] = one.completed, one
        elif not same(there[one.key], one.completed):
            clashes.append(_clash(unit, one, number))
    if clashes:
        told = ", ".join(str(clash.got) for clash in clashes[:3]) + (", ..." if len(clashes) > 3 else "")
        raise AlreadyExists(
            f"cannot create in {unit.name}: {told} exists with other content, nothing was changed",
            errors=clashes,
            hint=f"to change it: lmaps set {unit.name} {clashes[0].got}",
        )
    return fresh, known


def _clash(unit: Unit, one: Accepted, number: int) -> Finding:
    return Finding(
        f"{one.key} exists with other content",
        at=(unit.primary_key,) if unit.primary_key else (),
        got=one.key,
        document=number,
    )


def _created(key: str, known: dict[str, Instance], revision: int | None) -> dict[str, Any]:
    instance = known.get(key)
    return _told(key, "unchanged", instance.revision) if instance else _told(key, "created", revision)


def _told(key: str, result: str, revision: int | None) -> dict[str, Any]:
    return {"id": key, "short": short_id(key), "result": result, "revision": revision}


def picked(call: Invocation, unit: Unit, ids: Sequence[str]) -> list[Instance]:
    """The instances of these IDs, or of these beginnings of content IDs; `NotFound` names all that are not there."""
    exact = call.tx.instances.find(unit.name, ids)
    found = {wanted: exact.get(wanted) or find(call, unit, wanted, missing_ok=True) for wanted in ids}
    missing = [wanted for wanted, instance in found.items() if instance is None]
    if missing:
        raise _no_instance(call, unit, missing)
    return [instance for instance in found.values() if instance is not None]


def find(call: Invocation, unit: Unit, wanted: str, *, missing_ok: bool = False) -> Instance | None:
    """The instance of this ID, or of this beginning of a content ID."""
    exact, begun = _meant(call, unit, wanted)
    found = exact.get(wanted) or _only(call, unit, wanted, begun)
    if found is None and not missing_ok:
        raise _no_instance(call, unit, [wanted])
    return found


def _meant(call: Invocation, unit: Unit, wanted: str) -> tuple[dict[str, Instance], list[Instance]]:
    """The instance of this ID, and those of which it is the beginning of the content ID."""
    begun = call.tx.instances.with_prefix(unit.name, wanted) if _may_begin(unit, wanted) else []
    return call.tx.instances.find(unit.name, [wanted]), begun


def _may_begin(unit: Unit, wanted: str) -> bool:
    """Whether this can be the beginning of a content ID."""
    return not unit.primary_key and len(wanted) >= PREFIX


def _only(call: Invocation, unit: Unit, wanted: str, begun: Sequence[Instance]) -> Instance | None:
    if len(begun) > 1:
        raise NotFound(f"cannot {call.verb} {wanted} in {unit.name}: {len(begun)} instances begin so; give more digits")
    return begun[0] if begun else None


def picked_at(call: Invocation, unit: Unit, ids: Sequence[str], revision: int) -> list[Instance]:
    """The instances of these IDs at ``revision``, found among those that have them now and those changed since."""
    now: list[Instance] = []
    for wanted in ids:
        exact, begun = _meant(call, unit, wanted)
        now += [*exact.values(), *begun]
    then = {each.key: each for each in call.tx.history.state_at(unit.name, revision, now)}
    return [_among(call, unit, then, wanted) for wanted in ids]


def _among(call: Invocation, unit: Unit, then: Mapping[str, Instance], wanted: str) -> Instance:
    """The instance of this ID among those that were there then, by their IDs."""
    found = then.get(wanted)
    if found is None and _may_begin(unit, wanted):
        found = _only(call, unit, wanted, [each for key, each in then.items() if key.startswith(wanted)])
    if found is None:
        raise _no_instance(call, unit, [wanted])
    return found


def _no_instance(call: Invocation, unit: Unit, missing: Sequence[str]) -> NotFound:
    named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    outcome = ", nothing was changed" if call.verb in ("delete", "set") else ""
    return NotFound(
        f"cannot {call.verb} {named} in {unit.name}: there is no such instance{outcome}",
        hint=f"lmaps show {unit.name} lists them",
    )


def validate(call: Invocation) -> Reply:
    """Check documents as create would, and show what they would become; nothing is kept."""
    unit = call.unit
    accepted = accept(call, unit, call.args["instances"])
    rows = [
        {"id": one.key, "short": short_id(one.key), "completed": unit.secrets.masked(one.completed)} for one in accepted
    ]
    return Reply(f"{plural(len(rows), 'instance')} fit {unit.name}", extra={"instances": rows})
