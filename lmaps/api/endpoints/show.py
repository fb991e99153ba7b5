"""The endpoint show; and how documents look to their readers.

Documents are kept as JSON text. Where nothing of them has to be hidden or merged, the answer is made of their texts.
"""

import json
from collections.abc import Iterable, Sequence

from lmaps.api.arguments import Text, UnitName, argument, arguments
from lmaps.api.context import Invocation
from lmaps.api.endpoint import endpoint
from lmaps.api.endpoints.instances import picked, picked_at
from lmaps.api.revisions import resolve
from lmaps.model.data_types import get_data_type_by_name
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.store import Instance, InstanceTexts
from lmaps.util import jsonio
from lmaps.util.jsonio import Encoded, JsonObject
from lmaps.util.text import plural

_LISTS = ("YamlList", "YamlKeyList")
"""Data types that present documents one after the other, each as it is."""


@arguments
class Show:
    """The arguments of show."""

    unit: UnitName
    ids: list[str] = argument(default=[], doc="Only these: IDs, or beginnings of content IDs.")
    at: Text | None = argument(default=None, doc="As it was then: r41, @~2, applied, or a time.")
    reverse: bool = argument(default=False, doc="The oldest wins, or comes last.")
    instances: bool = argument(default=False, doc="One by one, with ID, revision and both documents.")
    reveal: bool = argument(default=False, doc="With secrets as they are.")


@endpoint("show", right="show", also={"reveal": "reveal"})
def show(ctx: Invocation, request: Show) -> Reply:
    """Show the state as the handler gets it, of all instances or of those named; or the instances one by one."""
    unit = ctx.recorded_unit(request.unit)
    at = request.at
    revision = ctx.tx.history.newest_revision(unit.name) if at is None else resolve(ctx, unit.name, at)
    extra = {
        "unit": unit.name,
        "type": unit.data_type,
        "primary_key": unit.primary_key,
        "revision": revision,
        "applied": ctx.tx.jobs.applied_revision(unit.name),
    }
    count, state = _state(ctx, unit, revision, request)
    return Reply(f"{unit.name} has {plural(count, 'instance')}", extra=extra | state, revision=revision)


def _state(ctx: Invocation, unit: Unit, revision: int | None, request: Show) -> tuple[int, JsonObject]:
    """Return how many instances are asked for, and what is shown of them."""
    is_plain = request.at is None and not (request.ids or request.instances or request.reverse or unit.secrets.any)
    if is_plain and unit.data_type in _LISTS:
        count, joined = ctx.tx.snapshots.joined(unit.name)
        return count, {"state": _list(unit, Encoded.joined(joined))}
    ids = list(dict.fromkeys(request.ids))
    texts = _now(ctx, unit, ids) if request.at is None else _then(ctx, unit, ids, revision or 0)
    if request.instances:
        return len(texts.keys), {"instances": _rows(ctx, unit, texts, reveal=request.reveal)}
    completed = texts.completed
    if unit.data_type in _LISTS:
        in_order = completed[::-1] if request.reverse else completed
        array = Encoded.array(shown_texts(ctx, unit, in_order, reveal=request.reveal))
        return len(texts.keys), {"state": _list(unit, array)}
    rows = [shown(ctx, unit, text, reveal=request.reveal) for text in completed]
    return len(texts.keys), {"state": _shaped(unit, rows, reverse=request.reverse)}


def _now(ctx: Invocation, unit: Unit, ids: Sequence[str]) -> InstanceTexts:
    """Return the instances of these IDs, or all, as they are."""
    if not ids:
        return ctx.tx.snapshots.texts(unit.name)
    texts = ctx.tx.snapshots.texts(unit.name, ids)
    return texts if len(texts.keys) == len(ids) else _texts(picked(ctx, unit, ids))


def _then(ctx: Invocation, unit: Unit, ids: Sequence[str], revision: int) -> InstanceTexts:
    """Return the same, as they were at ``revision``."""
    return _texts(picked_at(ctx, unit, ids, revision) if ids else ctx.tx.history.state_at(unit.name, revision))


def _texts(instances: Sequence[Instance]) -> InstanceTexts:
    return InstanceTexts(
        [instance.id for instance in instances],
        [instance.key for instance in instances],
        [instance.revision for instance in instances],
        [instance.given for instance in instances],
        [instance.completed for instance in instances],
    )


def _list(unit: Unit, array: Encoded) -> Encoded:
    return array if unit.data_type == "YamlList" else Encoded.object({unit.store_key: array})


def state_of(ctx: Invocation, unit: Unit, instances: Iterable[Instance]) -> object:
    """Return the completed documents of ``instances`` in the form of the unit's data type, secrets masked."""
    return _shaped(unit, [shown(ctx, unit, instance.completed) for instance in instances])


def _shaped(unit: Unit, rows: Sequence[object], *, reverse: bool = False) -> object:
    data_type = get_data_type_by_name(unit.data_type)
    return data_type(rows=rows, store_key=unit.store_key, primary_key=unit.primary_key).state(reverse)


def shown(ctx: Invocation, unit: Unit, document: str, *, reveal: bool = False) -> object:
    """Return a document as its reader sees it: secrets are masked, unless the request asks to ``reveal`` them."""
    ctx.manager.beat()
    value = json.loads(document)
    return value if reveal else unit.secrets.masked(value)


def shown_texts(ctx: Invocation, unit: Unit, documents: Sequence[str], *, reveal: bool) -> Sequence[str]:
    """Return documents as their reader sees them, as JSON."""
    if reveal or not unit.secrets.any:
        return documents
    return [jsonio.encode(shown(ctx, unit, document)) for document in documents]


def _rows(ctx: Invocation, unit: Unit, texts: InstanceTexts, *, reveal: bool) -> Encoded:
    """Return the instances one by one: ID, revision, document given and completed."""
    given, completed = (shown_texts(ctx, unit, ends, reveal=reveal) for ends in (texts.given, texts.completed))
    rows = zip(texts.keys, texts.revisions, given, completed, strict=True)
    return Encoded.array(
        f'{{"id":{jsonio.encode(key)},"short":{jsonio.encode(short_id(key))},"revision":{revision},'
        f'"given":{first},"completed":{last}}}'
        for key, revision, first, last in rows
    )
