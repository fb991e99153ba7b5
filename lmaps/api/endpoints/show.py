"""The endpoint show.

Documents are kept as JSON text. Where nothing of them has to be hidden or merged, the answer is made of their texts.
"""

from collections.abc import Iterable, Sequence

from lmaps.api.arguments import Text, UnitName, argument, arguments
from lmaps.api.context import Invocation
from lmaps.api.documents import PublicDocuments
from lmaps.api.endpoint import endpoint
from lmaps.api.instance_ids import picked, picked_at
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
    documents, is_list = PublicDocuments(ctx, unit), unit.data_type in _LISTS
    picks = request.at is not None or request.ids or request.instances or request.reverse
    if is_list and not picks and documents.are_clear:
        count, joined = ctx.tx.snapshots.joined(unit.name)
        return count, {"state": _list(unit, Encoded.joined(joined))}
    ids = list(dict.fromkeys(request.ids))
    texts = _now(ctx, unit, ids) if request.at is None else _then(ctx, unit, ids, revision or 0)
    if request.instances:
        return len(texts.keys), {"instances": _rows(documents, texts)}
    if is_list:
        completed = documents.texts(texts.clear_completed, texts.definitions)
        array = Encoded.array(completed[::-1] if request.reverse else completed)
        return len(texts.keys), {"state": _list(unit, array)}
    rows = documents.values(texts.clear_completed, texts.definitions)
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
        [instance.clear_given for instance in instances],
        [instance.clear_completed for instance in instances],
        [instance.document.definition for instance in instances],
    )


def _list(unit: Unit, array: Encoded) -> Encoded:
    return array if unit.data_type == "YamlList" else Encoded.object({unit.store_key: array})


def state_of(ctx: Invocation, unit: Unit, instances: Iterable[Instance]) -> object:
    """Return the completed documents of ``instances`` in the form of the unit's data type, secrets masked."""
    documents = PublicDocuments(ctx, unit)
    return _shaped(unit, [documents.completed(instance.document) for instance in instances])


def _shaped(unit: Unit, rows: Sequence[object], *, reverse: bool = False) -> object:
    data_type = get_data_type_by_name(unit.data_type)
    return data_type(rows=rows, store_key=unit.store_key, primary_key=unit.primary_key).state(reverse)


def _rows(documents: PublicDocuments, texts: InstanceTexts) -> Encoded:
    """Return the instances one by one: ID, revision, document given and completed."""
    given, completed = (documents.texts(ends, texts.definitions) for ends in (texts.clear_given, texts.clear_completed))
    rows = zip(texts.keys, texts.revisions, given, completed, strict=True)
    return Encoded.array(
        f'{{"id":{jsonio.encode(key)},"short":{jsonio.encode(short_id(key))},"revision":{revision},'
        f'"given":{first},"completed":{last}}}'
        for key, revision, first, last in rows
    )
