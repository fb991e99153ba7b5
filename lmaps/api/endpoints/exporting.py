"""The verb export: whole, or in pages that together are the state of one moment."""

from collections.abc import Sequence
from typing import Any

from lmaps.api.context import Call
from lmaps.api.endpoints import history_transfer
from lmaps.api.endpoints.show import shown, told
from lmaps.api.revisions import resolve
from lmaps.errors import MessageRefused
from lmaps.model.policy import Right
from lmaps.protocol import Reply
from lmaps.util import jsonio
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import Encoded
from lmaps.util.text import plural

EVERYTHING = 2**31
"""More instances than any unit has."""


def export(call: Call) -> Reply:
    """The given documents of the units named, or of all, oldest first; with ``history`` all their changesets too.

    With a ``limit`` no more documents at once: then ``next`` says how to ask for those that follow.
    """
    names = _names(call)
    revisions = _revisions(call, names)
    page = call.args.get("limit")
    left, after = page or EVERYTHING, call.args["after"]
    rows: list[str] = []
    count, following = 0, None
    for place, (name, revision) in enumerate(zip(names, revisions, strict=True)):
        failpoint("export.mid")
        row, documents, last = _exported(call, name, revision, after, left)
        rows.append(jsonio.encode_object(row))
        count += documents
        left, after = left - documents, 0
        if page is not None and (last is not None or left <= 0):
            following = _following(names[place:], revisions[place:], last)
            break
    newest = revisions[0] if call.args.get("at") and names else call.state.revision()
    return Reply(
        f"exported {plural(len(rows), 'unit')}, {plural(count, 'instance')} at r{newest}",
        extra={"units": Encoded.array(rows), "revision": newest, "next": following},
        revision=newest,
    )


def _names(call: Call) -> Sequence[str]:
    rights: tuple[Right, ...] = ("export", "reveal") if call.args["reveal"] else ("export",)
    for wanted in call.args["units"]:
        call.for_unit(wanted).kept_unit  # noqa: B018 (an unknown unit is told before anything is read)
    known = {**call.service.units.units, **dict.fromkeys(call.state.units())}
    return call.args["units"] or [name for name in known if call.may(name, *rights)]


def _revisions(call: Call, names: Sequence[str]) -> Sequence[int]:
    """Which state of each unit is meant."""
    given, at = call.args.get("revisions"), call.args.get("at")
    if given is None:
        return [call.state.revision() if at is None else resolve(call, name, at) for name in names]
    if len(given) != len(names):
        raise MessageRefused("cannot export: revisions are to be as many as units")
    return [resolve(call, name, f"r{revision}") for name, revision in zip(names, given, strict=True)]


def _following(names: Sequence[str], revisions: Sequence[int], last: int | None) -> dict[str, Any] | None:
    """What the request for the next page says beside what this one has said; None if nothing is left."""
    if last is None:
        names, revisions = names[1:], revisions[1:]
    return {"units": names, "revisions": revisions, "after": last or 0} if names else None


def _exported(call: Call, name: str, revision: int, after: int, most: int) -> tuple[dict[str, Any], int, int | None]:
    """One unit, how many documents of it there are, and the number of the last one if more follow."""
    unit, paged = call.for_unit(name).kept_unit, call.args.get("limit") is not None
    documents: list[str] = []
    last: int | None = after
    while last is not None and len(documents) < most:
        page = call.state.page(name, revision, last, most - len(documents))
        documents += told(call, unit, page.given)
        last = page.last
        if paged:
            break
    row = {
        "unit": name,
        "type": unit.data_type,
        "store_key": unit.store_key,
        "primary_key": unit.primary_key,
        "instances": Encoded.array(documents),
        **(history_transfer.told(call, name) if call.args["history"] else {}),
        **({} if paged else {"undone": _undone(call, name)}),
    }
    return row, len(documents), last


def _undone(call: Call, name: str) -> list[Any]:
    """The given documents that redo would bring."""
    unit = call.for_unit(name).kept_unit
    return [
        shown(call, unit, change.after.given)
        for revision in call.state.undone(name)
        for change in call.state.changes(revision)
        if change.after is not None
    ]
