"""The verb show; and how documents look to their readers.

Documents are kept as JSON text. Where nothing of them is to be hidden or merged, the answer is made of their texts.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from lmaps.api.context import Invocation
from lmaps.api.endpoints.instances import picked, picked_at
from lmaps.api.revisions import resolve
from lmaps.model.data_types import get_data_type_by_name
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.store import Instance, InstanceTexts
from lmaps.util import jsonio
from lmaps.util.jsonio import Encoded
from lmaps.util.text import plural

_LISTS = ("YamlList", "YamlKeyList")
"""Data types that present documents one after the other, each as it is."""


def show(call: Invocation) -> Reply:
    """The state as the handler gets it, of all instances or of those named; or the instances one by one."""
    unit = call.kept_unit
    at = call.args.get("at")
    revision = call.tx.history.newest_revision(unit.name) if at is None else resolve(call, unit.name, at)
    extra = {
        "unit": unit.name,
        "type": unit.data_type,
        "primary_key": unit.primary_key,
        "revision": revision,
        "applied": call.tx.jobs.applied_revision(unit.name),
    }
    count, found = _found(call, unit, revision)
    return Reply(f"{unit.name} has {plural(count, 'instance')}", extra=extra | found, revision=revision)


def _found(call: Invocation, unit: Unit, revision: int | None) -> tuple[int, dict[str, Any]]:
    """How many instances are asked for, and what is told of them."""
    now, one_by_one, reverse = call.args.get("at") is None, call.args["instances"], call.args["reverse"]
    if now and not (call.args["ids"] or one_by_one or reverse or unit.secrets.any) and unit.data_type in _LISTS:
        count, texts = call.tx.snapshots.joined(unit.name)
        return count, {"state": _list(unit, Encoded.joined(texts))}
    found = _now(call, unit) if now else _then(call, unit, revision or 0)
    if one_by_one:
        return len(found.keys), {"instances": _rows(call, unit, found)}
    return len(found.keys), {"state": _state(call, unit, found, reverse=reverse)}


def _now(call: Invocation, unit: Unit) -> InstanceTexts:
    """The instances that are asked for, as they are."""
    ids = list(dict.fromkeys(call.args["ids"]))
    if not ids:
        return call.tx.snapshots.texts(unit.name)
    found = call.tx.snapshots.texts(unit.name, ids)
    return found if len(found.keys) == len(ids) else _texts(picked(call, unit, ids))


def _then(call: Invocation, unit: Unit, revision: int) -> InstanceTexts:
    """The same, as they were at ``revision``."""
    ids = list(dict.fromkeys(call.args["ids"]))
    return _texts(picked_at(call, unit, ids, revision) if ids else call.tx.history.state_at(unit.name, revision))


def _texts(instances: Sequence[Instance]) -> InstanceTexts:
    return InstanceTexts(
        [each.id for each in instances],
        [each.key for each in instances],
        [each.revision for each in instances],
        [each.given for each in instances],
        [each.completed for each in instances],
    )


def _state(call: Invocation, unit: Unit, found: InstanceTexts, *, reverse: bool) -> Any:
    """Completed documents in the form of the unit's data type."""
    if unit.data_type not in _LISTS:
        return _shaped(unit, [shown(call, unit, text) for text in found.completed], reverse=reverse)
    return _list(unit, Encoded.array(told(call, unit, found.completed[::-1] if reverse else found.completed)))


def _list(unit: Unit, array: Encoded) -> Encoded:
    return array if unit.data_type == "YamlList" else Encoded.object({unit.store_key: array})


def state_of(call: Invocation, unit: Unit, instances: Iterable[Instance]) -> Any:
    """The completed documents of ``instances`` in the form of the unit's data type."""
    return _shaped(unit, [shown(call, unit, instance.completed) for instance in instances])


def _shaped(unit: Unit, rows: Sequence[Any], *, reverse: bool = False) -> Any:
    data_type = get_data_type_by_name(unit.data_type)
    return data_type(rows=rows, store_key=unit.store_key, primary_key=unit.primary_key).state(reverse)


def shown(call: Invocation, unit: Unit, document: str) -> Any:
    """A document as its reader sees it: secrets are masked, unless the request asks to reveal them."""
    call.manager.beat()
    value = json.loads(document)
    return value if call.args.get("reveal") else unit.secrets.masked(value)


def told(call: Invocation, unit: Unit, documents: Sequence[str]) -> Sequence[str]:
    """Documents as their reader sees them, as JSON."""
    if call.args.get("reveal") or not unit.secrets.any:
        return documents
    return [jsonio.encode(shown(call, unit, document)) for document in documents]


def _rows(call: Invocation, unit: Unit, found: InstanceTexts) -> Encoded:
    """Instances one by one: ID, revision, document given and completed."""
    given, completed = (told(call, unit, documents) for documents in (found.given, found.completed))
    rows = zip(found.keys, found.revisions, given, completed, strict=True)
    return Encoded.array(
        f'{{"id":{jsonio.encode(key)},"short":{jsonio.encode(short_id(key))},"revision":{revision},'
        f'"given":{first},"completed":{last}}}'
        for key, revision, first, last in rows
    )
