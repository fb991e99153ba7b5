"""Endpoints on a unit's instances: create, set, delete, validate."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from lmaps.api.arguments import (
    Documents,
    Pointer,
    SomeDocuments,
    UnitName,
    WriteAndApply,
    argument,
    arguments,
)
from lmaps.api.changes import Proposal, UnitChange
from lmaps.api.context import Invocation
from lmaps.api.endpoint import endpoint
from lmaps.errors import AlreadyExists, Finding, MessageRefused, NotFound, RuleBroken, TookTooLong, ValidationFailed
from lmaps.model.diff import MISSING, Clash, Difference, changed, parse_pointer, pointer, same
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.states import ChangesetKind
from lmaps.model.texts import read_properties
from lmaps.model.units import Unit, property_rows, short_id
from lmaps.protocol import Reply
from lmaps.protocol.views import InstanceRow
from lmaps.store import Document, Edit, Instance
from lmaps.util import jsonio
from lmaps.util.text import plural
from lmaps.util.timelimit import TimeLimit, slow_part

MIN_PREFIX = 4
"""The fewest hex digits that may stand for a content ID."""


class Accepted(NamedTuple):
    """A document that fits its unit: as it was given, and as it was completed."""

    key: str
    given: dict[str, Any]
    completed: dict[str, Any]


@arguments
class TextAssignment:
    """A property that is set, its value as text."""

    path: Pointer
    text: str


@arguments
class Create(WriteAndApply):
    """The arguments of create."""

    unit: UnitName
    instances: SomeDocuments = argument(doc="The documents.")
    texts: list[TextAssignment] = argument(
        default=[], doc="Properties that are set in every document; their texts are read by the types of the unit."
    )


@endpoint("create", right="create")
def create(ctx: Invocation, request: Create) -> Proposal:
    """Append instances: all of them, or none. An equal one is "unchanged", another one under the same key refused."""
    unit = ctx.usable_unit(request.unit)
    accepted = accept(ctx, unit, _with_texts(ctx, unit, request) if request.texts else request.instances)
    fresh, stored = _sort_out(ctx, unit, accepted)
    edits = [Edit(None, new_document(ctx, unit, instance)) for instance in fresh.values()]
    return Proposal(
        f"created {plural(len(fresh), 'instance')} in {unit.name}" if fresh else f"nothing to create in {unit.name}",
        [UnitChange(unit, ChangesetKind.CREATE, edits)],
        [
            InstanceRow(key, short_id(key), "unchanged", stored[key].revision)
            if key in stored
            else InstanceRow(key, short_id(key), "created", None)
            for key, _, _ in accepted
        ],
    )


def _with_texts(ctx: Invocation, unit: Unit, request: Create) -> list[Any]:
    """Return the documents with the properties whose values were sent as text."""
    properties = _read_texts(ctx, unit, request.texts)
    try:
        return [changed(document, properties) for document in request.instances]
    except Clash as clash:
        message = f"cannot create in {unit.name}: nothing can be set at or below {pointer(clash.path)} of the document"
        raise MessageRefused(message) from clash


def _read_texts(ctx: Invocation, unit: Unit, texts: Sequence[TextAssignment]) -> list[Difference]:
    """Return what gives the properties the values of their texts; the values keep to the limits of a request."""
    limits = ctx.manager.config.limits
    section = limits.section(ctx.manager.section(ctx.subject))
    types = {row["path"]: row["type"] for row in property_rows(unit)}
    pairs = [(parse_pointer(part.path), part.text) for part in texts]
    properties = ctx.limit.run(f"read the texts for {unit.name}", read_properties, pairs, types)
    # YAML may be nested deeper, and have more values, than the JSON that the socket has let through.
    values = jsonio.encode([part.after for part in properties])
    jsonio.decode(values, depth=limits.depth, nodes=section.values, string=limits.string)
    return properties


def new_document(ctx: Invocation, unit: Unit, instance: Accepted) -> Document:
    """Return what is stored of an accepted document."""
    number = ctx.tx.instances.definition(unit.name, unit.digest, unit.text)
    given, completed = jsonio.encode(instance.given), jsonio.encode(instance.completed)
    return Document(instance.key, given, completed, number, secret=unit.secrets.any)


@arguments
class Assignment:
    """A property that is set."""

    path: Pointer
    value: Any


@arguments
class Set(WriteAndApply):
    """The arguments of set."""

    unit: UnitName
    id: Annotated[str, Keywords("The instance's ID, or the beginning of a content ID.", minLength=1)]
    instance: dict[str, Any] | None = argument(default=None, doc="The document that replaces it.")
    set: list[Assignment] = argument(default=[], doc="Properties that get a value.")
    unset: list[Pointer] = argument(default=[], doc="Properties that are taken away.")
    texts: list[TextAssignment] = argument(
        default=[], doc="Properties that get a value; their texts are read by the types of the unit."
    )


@endpoint("set", right="create")
def set_(ctx: Invocation, request: Set) -> Proposal:
    """Update an instance, or insert it: a document replaces it, ``set`` and ``unset`` change properties of it."""
    unit = ctx.usable_unit(request.unit)
    instance = find(ctx, unit, request.id, missing_ok=unit.primary_key is not None)
    [accepted] = accept(ctx, unit, [_document_to_set(ctx, unit, instance, request)])
    _check_key(ctx, unit, instance, accepted, request.id)
    if instance and same(json.loads(instance.completed), accepted.completed):
        row = InstanceRow(instance.key, short_id(instance.key), "unchanged", instance.revision)
        return Proposal(f"nothing to set in {unit.name}", [UnitChange(unit, ChangesetKind.SET, [])], [row])
    document = new_document(ctx, unit, accepted)
    edit = Edit.of(instance, document) if instance else Edit(None, document)
    row = InstanceRow(accepted.key, short_id(accepted.key), "updated" if instance else "created", None)
    return Proposal(f"set {row.short} in {unit.name}", [UnitChange(unit, ChangesetKind.SET, [edit])], [row])


def _document_to_set(ctx: Invocation, unit: Unit, instance: Instance | None, request: Set) -> Any:
    """Return the given document that results: the one that was sent, or the one that is stored, changed."""
    properties = [Difference(parse_pointer(part.path), MISSING, part.value) for part in request.set]
    properties += _read_texts(ctx, unit, request.texts) if request.texts else []
    properties += [Difference(parse_pointer(path), MISSING, MISSING) for path in request.unset]
    if request.instance is None and not properties:
        raise MessageRefused("cannot set nothing: give a document, or properties to set or to unset")
    stored = json.loads(instance.given) if instance else {}
    document = stored if request.instance is None else unit.secrets.unmasked(request.instance, stored)
    key = unit.primary_key
    if key is not None and key not in document:
        value = json.loads(instance.completed)[key] if instance else _key_value(unit, request.id)
        document = {key: value} | document
    try:
        return changed(document, properties)
    except Clash as clash:
        path = pointer(clash.path)
        raise MessageRefused(f"cannot set in {unit.name}: there is nothing below {path} of {request.id}") from clash


def _key_value(unit: Unit, text: str) -> Any:
    """Return the primary key's value that an ID stands for."""
    is_integer = unit.params["properties"][unit.primary_key].get("type") == "integer"
    return int(text) if is_integer and text.removeprefix("-").isdecimal() else text


def _check_key(ctx: Invocation, unit: Unit, instance: Instance | None, accepted: Accepted, wanted: str) -> None:
    """Raise an error if the document would have another key than its instance, or one that another instance has."""
    key = instance.key if instance else wanted
    if accepted.key == key:
        return
    if unit.primary_key is not None:
        raise RuleBroken(
            f"cannot set in {unit.name}: {unit.primary_key} of {key} cannot become {accepted.key}: "
            f"it names the instance",
            hint=f"lmaps create {unit.name} makes a new instance, "
            f"lmaps delete {unit.name} {key} takes the old one away",
        )
    if ctx.tx.instances.find(unit.name, [accepted.key]):
        raise AlreadyExists(f"cannot set in {unit.name}: {short_id(accepted.key)} has this content already")


@arguments
class Delete(WriteAndApply):
    """The arguments of delete."""

    unit: UnitName
    ids: Annotated[list[str], Keywords("IDs, or beginnings of content IDs.", minItems=1)]


@endpoint("delete", right="create")
def delete(ctx: Invocation, request: Delete) -> Proposal:
    """Delete instances: all that are named, or none."""
    unit = ctx.kept_unit(request.unit)
    instances = {instance.id: instance for instance in picked(ctx, unit, list(dict.fromkeys(request.ids)))}
    edits = [Edit.of(instance, None) for instance in instances.values()]
    rows = [InstanceRow(row.key, short_id(row.key), "deleted", None) for row in instances.values()]
    message = f"deleted {plural(len(rows), 'instance')} in {unit.name}"
    return Proposal(message, [UnitChange(unit, ChangesetKind.DELETE, edits)], rows)


def accept(ctx: Invocation, unit: Unit, documents: Sequence[Any]) -> list[Accepted]:
    """Return the documents with defaults mixed in and an ID each.

    Raises `ValidationFailed`, which lists what is wrong in all of them, and `TookTooLong`.
    """
    try:
        accepted, findings = ctx.limit.run(f"{ctx.action} in {unit.name}", _checked, unit, documents, ctx.limit)
    except TookTooLong as over:
        raise TookTooLong(over.message, errors=[_slow_place(unit, documents, ctx.limit.position)]) from over
    if findings:
        outcome = "" if ctx.verb == "validate" else ", nothing was changed"
        message = f"cannot {ctx.action} in {unit.name}: {plural(len(findings), 'error')}{outcome}"
        raise ValidationFailed(message, errors=findings)
    return accepted


def _checked(unit: Unit, documents: Sequence[Any], limit: TimeLimit) -> tuple[list[Accepted], list[Finding]]:
    """Return the documents that fit, and what is wrong in the others."""
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


def _sort_out(
    ctx: Invocation, unit: Unit, accepted: Sequence[Accepted]
) -> tuple[dict[str, Accepted], dict[str, Instance]]:
    """Return the documents that are new, each once, and the instances that are stored already, by their keys.

    Raises `AlreadyExists` if an instance of the same key has other content.
    """
    stored = ctx.tx.instances.find(unit.name, [instance.key for instance in accepted])
    completed = {key: json.loads(instance.completed) for key, instance in stored.items()}
    fresh: dict[str, Accepted] = {}
    clashes: list[Finding] = []
    for number, instance in enumerate(accepted):
        if instance.key not in completed:
            completed[instance.key], fresh[instance.key] = instance.completed, instance
        elif not same(completed[instance.key], instance.completed):
            clashes.append(_clash(unit, instance, number))
    if clashes:
        keys = ", ".join(str(clash.got) for clash in clashes[:3]) + (", ..." if len(clashes) > 3 else "")
        raise AlreadyExists(
            f"cannot create in {unit.name}: {keys} exists with other content, nothing was changed",
            errors=clashes,
            hint=f"to change it: lmaps set {unit.name} {clashes[0].got}",
        )
    return fresh, stored


def _clash(unit: Unit, instance: Accepted, number: int) -> Finding:
    return Finding(
        f"{instance.key} exists with other content",
        at=(unit.primary_key,) if unit.primary_key else (),
        got=instance.key,
        document=number,
    )


def picked(ctx: Invocation, unit: Unit, ids: Sequence[str]) -> list[Instance]:
    """Return the instances of these IDs, or beginnings of content IDs; `NotFound` names all that are not there."""
    exact = ctx.tx.instances.find(unit.name, ids)
    instances = {wanted: exact.get(wanted) or find(ctx, unit, wanted, missing_ok=True) for wanted in ids}
    missing = [wanted for wanted, instance in instances.items() if instance is None]
    if missing:
        raise _no_instance(ctx, unit, missing)
    return [instance for instance in instances.values() if instance is not None]


def find(ctx: Invocation, unit: Unit, wanted: str, *, missing_ok: bool = False) -> Instance | None:
    """Return the instance of this ID, or of this beginning of a content ID."""
    exact, begun = _candidates(ctx, unit, wanted)
    instance = exact.get(wanted) or _only(unit, wanted, begun)
    if instance is None and not missing_ok:
        raise _no_instance(ctx, unit, [wanted])
    return instance


def _candidates(ctx: Invocation, unit: Unit, wanted: str) -> tuple[dict[str, Instance], list[Instance]]:
    """Return the instance of this ID, and those whose content ID begins with it."""
    begun = ctx.tx.instances.with_prefix(unit.name, wanted) if _may_begin(unit, wanted) else []
    return ctx.tx.instances.find(unit.name, [wanted]), begun


def _may_begin(unit: Unit, wanted: str) -> bool:
    """Return whether this can be the beginning of a content ID."""
    return not unit.primary_key and len(wanted) >= MIN_PREFIX


def _only(unit: Unit, wanted: str, begun: Sequence[Instance]) -> Instance | None:
    if len(begun) > 1:
        raise NotFound(f"{len(begun)} instances in {unit.name} begin with {wanted}: give more digits")
    return begun[0] if begun else None


def picked_at(ctx: Invocation, unit: Unit, ids: Sequence[str], revision: int) -> list[Instance]:
    """Return the instances of these IDs at ``revision``: those that have them now, or were changed since."""
    candidates: list[Instance] = []
    for wanted in ids:
        exact, begun = _candidates(ctx, unit, wanted)
        candidates += [*exact.values(), *begun]
    then = {instance.key: instance for instance in ctx.tx.history.state_at(unit.name, revision, candidates)}
    return [_among(ctx, unit, then, wanted) for wanted in ids]


def _among(ctx: Invocation, unit: Unit, then: Mapping[str, Instance], wanted: str) -> Instance:
    """Return the instance of this ID among those that were there then, by their keys."""
    instance = then.get(wanted)
    if instance is None and _may_begin(unit, wanted):
        instance = _only(unit, wanted, [row for key, row in then.items() if key.startswith(wanted)])
    if instance is None:
        raise _no_instance(ctx, unit, [wanted])
    return instance


def _no_instance(ctx: Invocation, unit: Unit, missing: Sequence[str]) -> NotFound:
    names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    outcome = ", nothing was changed" if ctx.verb in ("delete", "set") else ""
    return NotFound(f"there is no instance {names} in {unit.name}{outcome}", hint=f"lmaps show {unit.name} lists them")


@arguments
class Validate:
    """The arguments of validate."""

    unit: UnitName
    instances: Documents = argument(doc="The documents.")


@endpoint("validate", right="show")
def validate(ctx: Invocation, request: Validate) -> Reply:
    """Check documents as create would, and show what they would become; nothing is kept."""
    unit = ctx.unit(request.unit)
    rows = [
        {"id": row.key, "short": short_id(row.key), "completed": unit.secrets.masked(row.completed)}
        for row in accept(ctx, unit, request.instances)
    ]
    return Reply(f"{plural(len(rows), 'instance')} fit {unit.name}", extra={"instances": rows})
