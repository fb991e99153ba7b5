"""Endpoints on a unit's instances: create, set, delete, validate."""

import json
import shlex
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from lmaps.api import instance_ids
from lmaps.api.acceptance import Accepted, accept, accept_changed, new_document, put_back
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
from lmaps.api.documents import PublicDocuments
from lmaps.api.endpoint import endpoint
from lmaps.errors import AlreadyExists, Finding, MessageRefused, NotAllowed, RuleBroken
from lmaps.model.diff import MISSING, Clash, Difference, changed, parse_pointer, pointer, same
from lmaps.model.policy import Right
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.schema.secrets import secret_around
from lmaps.model.states import ChangesetKind, Door
from lmaps.model.texts import read_properties
from lmaps.model.units import Unit, property_rows, short_id
from lmaps.protocol import Reply
from lmaps.protocol.views import InstanceRow
from lmaps.store import Edit, Instance
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural


@arguments
class TextAssignment:
    """A property to set; its value is sent as text."""

    path: Pointer
    text: Annotated[str, Keywords(writeOnly=True)]
    private: bool = argument(default=False, doc="It was no argument of a command, which every user of a host can read.")


@arguments
class Create(WriteAndApply):
    """The arguments of create."""

    unit: UnitName
    instances: SomeDocuments = argument(doc="The documents.")
    texts: list[TextAssignment] = argument(
        default=[], doc="Properties to set in every document; the types of the unit decide how their texts are read."
    )


@endpoint("create", right="create")
def create(ctx: Invocation, request: Create) -> Proposal:
    """Create all instances or none. An equal one stays "unchanged"; other content under the same key is refused."""
    unit = ctx.usable_unit(request.unit)
    accepted = accept(ctx, unit, _with_texts(ctx, unit, request) if request.texts else request.instances)
    fresh, stored = _new_and_stored(ctx, unit, accepted)
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
        documents = [changed(document, properties) for document in request.instances]
    except Clash as clash:
        message = f"cannot create in {unit.name}: nothing can be set at or below {pointer(clash.path)} of the document"
        raise MessageRefused(message) from clash
    _warn_of_secrets_in_arguments(ctx, unit, request.texts, documents)
    return documents


def _warn_of_secrets_in_arguments(
    ctx: Invocation, unit: Unit, texts: Sequence[TextAssignment], documents: Sequence[object]
) -> None:
    """Warn of each secret that was an argument of the client's command."""
    if ctx.door is not Door.CLI or not unit.secrets.any:
        return
    secrets = frozenset(path for document in documents for path in unit.secrets.paths(document))
    above = {path[:depth] for path in secrets for depth in range(len(path))}
    for part in texts:
        path = parse_pointer(part.path)
        is_secret = secret_around(secrets, path) is not None
        if not part.private and (is_secret or path in above):
            name = ".".join(map(str, path))
            message = (
                f"{name} {'is' if is_secret else 'has'} a secret and stood in the command line, which every user of "
                f"the host can read (ps): use --set {name}=@FILE, or --set {name} to be asked"
            )
            ctx.warnings.append(Finding(message, path))


def _read_texts(ctx: Invocation, unit: Unit, texts: Sequence[TextAssignment]) -> list[Difference]:
    """Return the assignments with their texts read. Raises `TooLarge` for values beyond the limits of a request."""
    limits = ctx.manager.config.limits
    section = limits.section(ctx.manager.section(ctx.subject))
    types = {row.path: row.type for row in property_rows(unit)}
    pairs = [(parse_pointer(part.path), part.text) for part in texts]
    read = partial(read_properties, pairs, types, quoting=not unit.secrets.any)
    properties = ctx.limit.run(f"read the texts for {unit.name}", read)
    # The limits were checked on the JSON of the request: YAML in its strings may nest deeper and contain more values.
    values = jsonio.encode([part.after for part in properties])
    jsonio.decode(values, depth=limits.depth, nodes=section.values, string=limits.string)
    return properties


@arguments
class Assignment:
    """A property to set."""

    path: Pointer
    value: Annotated[object, Keywords(writeOnly=True)]


@arguments
class Set(WriteAndApply):
    """The arguments of set."""

    unit: UnitName
    id: Annotated[str, Keywords("The instance's ID, or the beginning of a content ID.", minLength=1)]
    instance: Annotated[JsonObject, Keywords("The document that replaces it.", writeOnly=True)] | None = None
    set: list[Assignment] = argument(default=[], doc="Properties to set.")
    unset: list[Pointer] = argument(default=[], doc="Properties to remove.")
    texts: list[TextAssignment] = argument(
        default=[], doc="Properties to set; the types of the unit decide how their texts are read."
    )


@endpoint("set", right="create")
def set_(ctx: Invocation, request: Set) -> Proposal:
    """Update or insert an instance: a document replaces it, ``set`` and ``unset`` change its properties."""
    unit = ctx.usable_unit(request.unit)
    instance = instance_ids.find(ctx, unit, request.id, missing_ok=unit.primary_key is not None)
    document = _document_to_set(ctx, unit, instance, request)
    if request.instance is not None or instance is None:
        [accepted] = accept(ctx, unit, [document])
    else:
        pointers = [part.path for part in request.set] + [part.path for part in request.texts] + request.unset
        accepted = accept_changed(ctx, unit, document, pointers)
    _check_key(ctx, unit, instance, accepted, request.id)
    if instance and same(json.loads(instance.clear_completed), accepted.completed):
        row = InstanceRow(instance.key, short_id(instance.key), "unchanged", instance.revision)
        return Proposal(f"nothing to set in {unit.name}", [UnitChange(unit, ChangesetKind.SET, [])], [row])
    document = new_document(ctx, unit, accepted)
    edit = Edit.of(instance, document) if instance else Edit(None, document)
    row = InstanceRow(accepted.key, short_id(accepted.key), "updated" if instance else "created", None)
    return Proposal(f"set {row.short} in {unit.name}", [UnitChange(unit, ChangesetKind.SET, [edit])], [row])


def _document_to_set(ctx: Invocation, unit: Unit, instance: Instance | None, request: Set) -> object:
    """Return the new given document: the one that was sent, else the stored one, with the properties changed."""
    properties = [Difference(parse_pointer(part.path), MISSING, part.value) for part in request.set]
    properties += _read_texts(ctx, unit, request.texts) if request.texts else []
    properties += [Difference(parse_pointer(path), MISSING, MISSING) for path in request.unset]
    if request.instance is None and not properties:
        raise MessageRefused("there is nothing to set: give a document, or properties to set or to unset")
    if instance is not None:
        _expect_whole_secrets(ctx, unit, instance, properties)
    stored = json.loads(instance.clear_given) if instance else {}
    document = stored
    if request.instance is not None:
        document = put_back(PublicDocuments(ctx, unit), request.instance, instance)
    key = unit.primary_key
    if key is not None and key not in document:
        value = json.loads(instance.clear_completed)[key] if instance else _key_value(unit, request.id)
        document = {key: value} | document
    try:
        document = changed(document, properties)
    except Clash as clash:
        path = pointer(clash.path)
        raise MessageRefused(f"cannot set in {unit.name}: {path} of {request.id} has no properties") from clash
    if request.texts:
        _warn_of_secrets_in_arguments(ctx, unit, request.texts, [document])
    return document


def _expect_whole_secrets(ctx: Invocation, unit: Unit, instance: Instance, properties: Sequence[Difference]) -> None:
    """Raise `NotAllowed` for a property within a stored secret, unless the subject may see it.

    Whether it can be set, and whether that changes anything, would tell how long a secret list is, and its parts one by
    one.
    """
    secrets = PublicDocuments(ctx, unit).secrets_under(instance.document.definition)
    if not secrets.any or ctx.may(unit.name, "reveal"):
        return
    ends = (instance.clear_given, instance.clear_completed)
    paths = {tuple(map(str, path)) for text in ends for path in secrets.paths(json.loads(text))}
    for part in properties:
        place = tuple(map(str, part.path))
        secret = secret_around(paths, place)
        if secret is not None and secret != place:
            raise NotAllowed(
                f"cannot set in {unit.name}: {pointer(secret)} is secret and can only be set as a whole, because "
                f"{ctx.subject.name} has no right reveal on {unit.name}; nothing was changed"
            )


def _key_value(unit: Unit, text: str) -> object:
    """Return the value of the primary key for the ID ``text``: an integer where the schema says so."""
    is_integer = unit.params["properties"][unit.primary_key].get("type") == "integer"
    return int(text) if is_integer and text.removeprefix("-").isdecimal() else text


def _check_key(ctx: Invocation, unit: Unit, instance: Instance | None, accepted: Accepted, wanted: str) -> None:
    """Raise `RuleBroken` if the document changes the primary key, `AlreadyExists` if another instance equals it."""
    key = instance.key if instance else wanted
    if accepted.key == key:
        return
    if unit.primary_key is not None:
        raise RuleBroken(
            f"cannot set in {unit.name}: {unit.primary_key} of {key} cannot become {accepted.key}: "
            f"it identifies the instance",
            hint=f"lmaps create {unit.name} makes a new instance, lmaps delete {unit.name} {shlex.quote(key)} deletes "
            "the old one",
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
    unit = ctx.recorded_unit(request.unit)
    instances = {instance.id: instance for instance in instance_ids.picked(ctx, unit, list(dict.fromkeys(request.ids)))}
    edits = [Edit.of(instance, None) for instance in instances.values()]
    rows = [InstanceRow(row.key, short_id(row.key), "deleted", None) for row in instances.values()]
    message = f"deleted {plural(len(rows), 'instance')} in {unit.name}"
    return Proposal(message, [UnitChange(unit, ChangesetKind.DELETE, edits)], rows)


def _new_and_stored(
    ctx: Invocation, unit: Unit, accepted: Sequence[Accepted]
) -> tuple[dict[str, Accepted], dict[str, Instance]]:
    """Return the new documents (equal ones once), and the instances that are stored already, both by key.

    Raises `AlreadyExists` if an instance of the same key has other content.
    """
    stored = ctx.tx.instances.find(unit.name, [instance.key for instance in accepted])
    completed = {key: json.loads(instance.clear_completed) for key, instance in stored.items()}
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
            hint=f"to change it: lmaps set {unit.name} {shlex.quote(str(clashes[0].got))}",
        )
    return fresh, stored


def _clash(unit: Unit, instance: Accepted, number: int) -> Finding:
    return Finding(
        f"{instance.key} exists with other content",
        at=(unit.primary_key,) if unit.primary_key else (),
        got=instance.key,
        document=number,
    )


_MAY_TRY: tuple[Right, ...] = ("create", "import", "reveal")
"""Rights with one of which a subject may learn whether a document equals a stored one."""


@arguments
class Validate:
    """The arguments of validate."""

    unit: UnitName
    instances: Documents = argument(doc="The documents.")


@endpoint("validate", right="show")
def validate(ctx: Invocation, request: Validate) -> Reply:
    """Check documents as create does, and return them completed; nothing is stored."""
    unit = ctx.unit(request.unit)
    # An ID that secrets are part of tells whether a guess equals what is stored: to those alone who may try it anyway.
    names = not unit.has_keyed_ids or any(ctx.may(unit.name, right) for right in _MAY_TRY)
    rows = [
        {
            "id": row.key if names else None,
            "short": short_id(row.key) if names else None,
            "completed": unit.secrets.masked(row.completed),
        }
        for row in accept(ctx, unit, request.instances)
    ]
    return Reply(f"{plural(len(rows), 'instance')} fit {unit.name}", extra={"instances": rows})
