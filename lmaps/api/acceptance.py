"""How documents come in: checked against their unit, completed with defaults, and identified."""

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from lmaps.api.context import Invocation
from lmaps.api.documents import PublicDocuments, all_secrets
from lmaps.errors import Finding, TookTooLong, ValidationFailed
from lmaps.model.diff import Path, parse_pointer
from lmaps.model.schema import Secrets
from lmaps.model.schema.secrets import secret_around
from lmaps.model.schema.unmasking import remaining_masks, unmasked
from lmaps.model.units import Unit, content_digest
from lmaps.store import Document, Instance
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural
from lmaps.util.timelimit import TimeLimit, slow_part

_TAKES_SHOW = "where, and what was expected, takes the right show"


class Accepted(NamedTuple):
    """A document that fits its unit, with its ID: as it was given, and completed with defaults."""

    key: str
    given: JsonObject
    completed: JsonObject


def accept(ctx: Invocation, unit: Unit, documents: Sequence[object]) -> list[Accepted]:
    """Return the documents with defaults filled in, each with its ID.

    Raises `ValidationFailed` with the findings of all documents, and `TookTooLong`.
    """
    content_key = ctx.tx.content_key if unit.has_keyed_ids else None
    secrets = all_secrets(ctx.tx, unit)
    try:
        accepted, findings = ctx.limit.run(
            f"{ctx.action} in {unit.name}", _checked, unit, documents, content_key, secrets, ctx.limit
        )
    except TookTooLong as over:
        raise TookTooLong(over.message, errors=[_slow_place(unit, documents, secrets, ctx.limit.position)]) from over
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
        rest = Finding("with this change the instance does not fit the unit", document=0, hint=_TAKES_SHOW)
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
    unit: Unit, documents: Sequence[Any], content_key: bytes | None, secrets: Secrets, limit: TimeLimit
) -> tuple[list[Accepted], list[Finding]]:
    """Return the documents that fit the unit, and the findings about the others."""
    accepted: list[Accepted] = []
    findings: list[Finding] = []
    marked = secrets if secrets.any else None
    for number, given in enumerate(documents):
        limit.position = number
        masks = remaining_masks(given, number) if marked else []
        if masks:
            findings += masks
            continue
        try:
            key, completed = unit.admit(given, content_key, marked)
            accepted.append(Accepted(key, given, completed))
        except ValidationFailed as refused:
            findings += [finding._replace(document=number) for finding in refused.errors]
    return accepted, findings


def _slow_place(unit: Unit, documents: Sequence[object], secrets: Secrets, number: int) -> Finding:
    """Return where the check of document ``number`` takes too long."""
    document = documents[number] if documents else None
    path = slow_part(unit.complete, document)
    secret = secret_around(secrets.paths(document), path)
    return Finding("checking it takes too long", path if secret is None else secret, document=number)


def put_back(public: PublicDocuments, document: object, instance: Instance | None) -> Any:
    """Return ``document`` with the masks replaced for which the stored ``instance`` certainly has the secret."""
    if instance is None:
        return document
    # What was masked is what today's text of the unit marks, or the one that the instance was completed under.
    secrets = public.secrets_under(instance.document.definition)
    if not secrets.any:
        return document
    return unmasked(secrets, document, json.loads(instance.clear_given), json.loads(instance.clear_completed))


def put_back_by_key(ctx: Invocation, unit: Unit, documents: Sequence[object]) -> Sequence[object]:
    """Return the documents, each with the masks replaced for which the instance with its primary key has the secret."""
    public = PublicDocuments(ctx, unit)
    if unit.primary_key is None or public.are_clear:
        return documents
    with_keys = [_with_key(unit, document) for document in documents]
    keys = [_key(unit, document) for document in with_keys]
    stored = ctx.tx.instances.find(unit.name, [key for key in keys if key is not None])
    results = [
        put_back(public, document, None if key is None else stored.get(key))
        for document, key in zip(with_keys, keys, strict=True)
    ]
    # A document without masks stays as it was given: its key remains a default.
    triples = zip(documents, with_keys, results, strict=True)
    return [document if result is with_key else result for document, with_key, result in triples]


def _with_key(unit: Unit, document: object) -> object:
    """Return a document with the primary key that it has by default: its secrets are those of that instance alone."""
    name = unit.primary_key
    schema = unit.params["properties"][name]
    if not isinstance(document, dict) or name in document or "default" not in schema:
        return document
    return {name: schema["default"], **document}


def _key(unit: Unit, document: object) -> str | None:
    """Return the primary key that a document has before it was checked; None if it has none that could be one."""
    value = document.get(unit.primary_key) if isinstance(document, dict) else None
    # str(None) would be the key of the instance "None", whose secrets the document is not to get.
    is_key = isinstance(value, str | int | float) and not isinstance(value, bool)
    return unit.identify({str(unit.primary_key): value}) if is_key else None


def new_document(ctx: Invocation, unit: Unit, instance: Accepted) -> Document:
    """Return an accepted document in the form in which it is stored."""
    number = ctx.tx.instances.definition(unit.name, unit.digest, unit.text)
    given, completed = jsonio.encode(instance.given), jsonio.encode(instance.completed)
    return Document(instance.key, given, completed, number, secret=unit.secrets.any)
