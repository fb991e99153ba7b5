"""Endpoints on a unit's instances: create, set, delete, validate."""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
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
from lmaps.api.documents import PublicDocuments
from lmaps.api.endpoint import endpoint
from lmaps.errors import AlreadyExists, Finding, MessageRefused, NotFound, RuleBroken, TookTooLong, ValidationFailed
from lmaps.model.diff import MISSING, Clash, Difference, Path, changed, parse_pointer, pointer, same
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.schema.messages import secret_around
from lmaps.model.schema.unmasking import remaining_masks, unmasked
from lmaps.model.states import ChangesetKind, Door
from lmaps.model.texts import read_properties
from lmaps.model.units import Unit, content_digest, property_rows, short_id
from lmaps.protocol import Reply
from lmaps.protocol.views import InstanceRow
from lmaps.store import Document, Edit, Instance
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural
from lmaps.util.timelimit import TimeLimit, slow_part

MIN_PREFIX = 4
"""The fewest hex digits that are accepted as the beginning of a content ID."""
_HIDDEN = "where, and what was expected, takes the right show"


class Accepted(NamedTuple):
    """A document that fits its unit, with its ID: as it was given, and completed with defaults."""

    key: str
    given: JsonObject
    completed: JsonObject


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
    _warn_of_public_secrets(ctx, unit, request.texts, documents)
    return documents


def _warn_of_public_secrets(
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


def new_document(ctx: Invocation, unit: Unit, instance: Accepted) -> Document:
    """Return an accepted document in the form in which it is stored."""
    number = ctx.tx.instances.definition(unit.name, unit.digest, unit.text)
    given, completed = jsonio.encode(instance.given), jsonio.encode(instance.completed)
    return Document(instance.key, given, completed, number, secret=unit.secrets.any)


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
    instance = find(ctx, unit, request.id, missing_ok=unit.primary_key is not None)
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
        _warn_of_public_secrets(ctx, unit, request.texts, [document])
    return document


def put_back(public: PublicDocuments, document: object, instance: Instance | None) -> Any:
    """Return ``document`` with the masks replaced for which the stored ``instance`` certainly has the secret."""
    if instance is None:
        return document
    # What was masked is what today's text of the unit marks, or the one that the instance was completed under.
    secrets = public.secrets_under(instance.document.definition)
    if not secrets.any:
        return document
    return unmasked(secrets, document, json.loads(instance.clear_given), json.loads(instance.clear_completed))


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
            hint=f"lmaps create {unit.name} makes a new instance, lmaps delete {unit.name} {key} deletes the old one",
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
    instances = {instance.id: instance for instance in picked(ctx, unit, list(dict.fromkeys(request.ids)))}
    edits = [Edit.of(instance, None) for instance in instances.values()]
    rows = [InstanceRow(row.key, short_id(row.key), "deleted", None) for row in instances.values()]
    message = f"deleted {plural(len(rows), 'instance')} in {unit.name}"
    return Proposal(message, [UnitChange(unit, ChangesetKind.DELETE, edits)], rows)


def accept(ctx: Invocation, unit: Unit, documents: Sequence[object]) -> list[Accepted]:
    """Return the documents with defaults filled in, each with its ID.

    Raises `ValidationFailed` with the findings of all documents, and `TookTooLong`.
    """
    content_key = ctx.tx.content_key if unit.has_keyed_ids else None
    try:
        accepted, findings = ctx.limit.run(
            f"{ctx.action} in {unit.name}", _checked, unit, documents, content_key, ctx.limit
        )
    except TookTooLong as over:
        raise TookTooLong(over.message, errors=[_slow_place(unit, documents, ctx.limit.position)]) from over
    if findings:
        outcome = "" if ctx.verb == "validate" else ", nothing was changed"
        message = f"cannot {ctx.action} in {unit.name}: {plural(len(findings), 'error')}{outcome}"
        raise ValidationFailed(message, errors=findings)
    return _with_stored_ids(ctx, unit, accepted) if unit.has_keyed_ids else accepted


def _with_stored_ids(ctx: Invocation, unit: Unit, accepted: Sequence[Accepted]) -> list[Accepted]:
    """Return accepted documents with keyed IDs, those with their old IDs that are stored under IDs made without key."""
    plain = [content_digest(instance.completed) for instance in accepted]
    stored = ctx.tx.instances.find(unit.name, plain)
    return [
        instance._replace(key=key) if key in stored else instance for instance, key in zip(accepted, plain, strict=True)
    ]


def accept_changed(ctx: Invocation, unit: Unit, document: object, pointers: Collection[str] = ()) -> Accepted:
    """Return a stored document that was changed at ``pointers``, with defaults filled in.

    Raises what `accept` does. A subject without the right ``show`` learns only of values that it has given.
    """
    try:
        [accepted] = accept(ctx, unit, [document])
    except (ValidationFailed, TookTooLong) as refused:
        if ctx.may(unit.name, "show"):
            raise
        given = [parse_pointer(text) for text in pointers]
        findings = [finding for finding in refused.errors if _is_about(finding, given)]
        rest = Finding("with this change the instance does not fit the unit", document=0, hint=_HIDDEN)
        errors = findings if len(findings) == len(refused.errors) else [*findings, rest]
        text = f"cannot {ctx.action} in {unit.name}: the changed instance does not fit, nothing was changed"
        raise type(refused)(text, errors=errors) from None
    return accepted


def _is_about(finding: Finding, given: Collection[Path]) -> bool:
    """Return whether a finding is about one of the values at the paths ``given``, or below it."""
    missing = () if finding.property is None or finding.on_key else (finding.property,)
    place = [str(part) for part in (*finding.at, *missing)]
    return any(place[: len(path)] == [str(part) for part in path] for path in given)


def _checked(
    unit: Unit, documents: Sequence[Any], content_key: bytes | None, limit: TimeLimit
) -> tuple[list[Accepted], list[Finding]]:
    """Return the documents that fit the unit, and the findings about the others."""
    accepted: list[Accepted] = []
    findings: list[Finding] = []
    for number, given in enumerate(documents):
        limit.position = number
        masks = remaining_masks(given, number) if unit.secrets.any else []
        if masks:
            findings += masks
            continue
        try:
            key, completed = unit.admit(given, content_key)
            accepted.append(Accepted(key, given, completed))
        except ValidationFailed as refused:
            findings += [finding._replace(document=number) for finding in refused.errors]
    return accepted, findings


def _slow_place(unit: Unit, documents: Sequence[object], number: int) -> Finding:
    """Return where the check of document ``number`` takes too long."""
    document = documents[number] if documents else None
    path = slow_part(unit.complete, document)
    secret = secret_around(unit.secrets.paths(document), path)
    return Finding("checking it takes too long", path if secret is None else secret, document=number)


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
    """Return the instances of these IDs or beginnings of content IDs. Raises `NotFound` that names those missing."""
    exact = ctx.tx.instances.find(unit.name, ids)
    instances = {wanted: exact.get(wanted) or find(ctx, unit, wanted, missing_ok=True) for wanted in ids}
    missing = [wanted for wanted, instance in instances.items() if instance is None]
    if missing:
        raise _no_instance(ctx, unit, missing)
    return [instance for instance in instances.values() if instance is not None]


def find(ctx: Invocation, unit: Unit, wanted: str, *, missing_ok: bool = False) -> Instance | None:
    """Return the instance of this ID, or of this beginning of a content ID."""
    exact, by_prefix = _candidates(ctx, unit, wanted)
    instance = exact.get(wanted) or _single(unit, wanted, by_prefix)
    if instance is None and not missing_ok:
        raise _no_instance(ctx, unit, [wanted])
    return instance


def _candidates(ctx: Invocation, unit: Unit, wanted: str) -> tuple[dict[str, Instance], list[Instance]]:
    """Return the instance of this ID, and those whose content ID begins with it."""
    by_prefix = ctx.tx.instances.with_prefix(unit.name, wanted) if _may_be_prefix(unit, wanted) else []
    return ctx.tx.instances.find(unit.name, [wanted]), by_prefix


def _may_be_prefix(unit: Unit, wanted: str) -> bool:
    """Return whether ``wanted`` can be the beginning of a content ID."""
    return not unit.primary_key and len(wanted) >= MIN_PREFIX


def _single(unit: Unit, wanted: str, by_prefix: Sequence[Instance]) -> Instance | None:
    if len(by_prefix) > 1:
        raise NotFound(f"{len(by_prefix)} instances in {unit.name} begin with {wanted}: give more digits")
    return by_prefix[0] if by_prefix else None


def picked_at(ctx: Invocation, unit: Unit, ids: Sequence[str], revision: int) -> list[Instance]:
    """Return the instances of these IDs as they were at ``revision``, even if they were changed or deleted since."""
    candidates: list[Instance] = []
    for wanted in ids:
        exact, by_prefix = _candidates(ctx, unit, wanted)
        candidates += [*exact.values(), *by_prefix]
    then = {instance.key: instance for instance in ctx.tx.history.state_at(unit.name, revision, candidates)}
    return [_pick_from(ctx, unit, then, wanted) for wanted in ids]


def _pick_from(ctx: Invocation, unit: Unit, then: Mapping[str, Instance], wanted: str) -> Instance:
    """Return the instance of this ID or beginning of a content ID from ``then``, which has them by key."""
    instance = then.get(wanted)
    if instance is None and _may_be_prefix(unit, wanted):
        instance = _single(unit, wanted, [row for key, row in then.items() if key.startswith(wanted)])
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
    """Check documents as create does, and return them completed; nothing is stored."""
    unit = ctx.unit(request.unit)
    rows = [
        {"id": row.key, "short": short_id(row.key), "completed": unit.secrets.masked(row.completed)}
        for row in accept(ctx, unit, request.instances)
    ]
    return Reply(f"{plural(len(rows), 'instance')} fit {unit.name}", extra={"instances": rows})
