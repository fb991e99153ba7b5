"""Endpoints on a unit's history: rollback, redo, revert; history, diff."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from lmaps.api import acceptance, changes
from lmaps.api.arguments import (
    Limit,
    RevisionNumber,
    Text,
    UnitName,
    WriteAndApply,
    argument,
    arguments,
)
from lmaps.api.changes import Proposal, UnitChange
from lmaps.api.context import Invocation
from lmaps.api.documents import PublicDocuments
from lmaps.api.endpoint import endpoint
from lmaps.api.endpoints import show
from lmaps.api.revisions import resolve
from lmaps.errors import AlreadyExists, Conflict, Finding, MessageRefused, NotFound, RevertConflict
from lmaps.model.diff import MISSING, Clash, Difference, differences, merged, pointer, same
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.states import ChangesetKind
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.protocol.views import ChangesetView
from lmaps.store import Change, Changeset, Document, Edit, Instance, Job, Transaction
from lmaps.util import jsonio, times
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural

MAX_CHANGES_SHOWN = 8
"""Instances of one changeset that `history` names; the others it counts."""
_SHOWN_COLUMNS = [name for name in ChangesetView.__match_args__ if name in Changeset._fields]
"""The columns of a changeset that its view has under the same name."""
_MAX_STEPS = 1_000_000
_STATES = "With the whole state before and after, for a subject with the right show."


@dataclass(frozen=True, slots=True)
class UndoProposal(Proposal):
    """A change that takes others back; ``nothing`` says that there are none."""

    nothing: str = ""

    def reply(self, ctx: Invocation, changesets: Sequence[Changeset | None], job: Job | None) -> Reply:
        """Return the answer: which changes were taken back, and what became of the instances."""
        unit, [changeset] = self.changes[0].unit, changesets
        if changeset is None:
            return Reply(self.nothing, extra={"nothing": True}, revision=ctx.tx.history.newest_revision(unit.name))
        failpoint("rollback.after")
        extra: JsonObject = {
            "undone": changeset.target,
            "target": changeset.target,
            "changes": [changes.signed(change).to_json() for change in ctx.tx.history.changes(changeset.revision)],
            "applied": ctx.tx.jobs.applied_revision(unit.name),
            "pending": ctx.tx.jobs.is_pending(unit.name),
        }
        message = f"{self.message} r{changeset.target} of {unit.name}"
        return Reply(message, extra=extra, revision=changeset.revision)


def _removing(ctx: Invocation, request: "Rollback | Redo | Revert", reply: Reply) -> list[object] | None:
    """Return the given documents that an undo took away or replaced."""
    revision = _revision_of(ctx, reply)
    if revision is None:
        return None
    documents = PublicDocuments(ctx, ctx.recorded_unit(request.unit))
    return [documents.given(change.before) for change in ctx.tx.history.changes(revision) if change.before]


def _before(ctx: Invocation, request: "Rollback | Redo | Revert", reply: Reply) -> object:
    """Return the whole state before an undo, if the request asked for it."""
    revision = _revision_of(ctx, reply) if request.states else None
    return None if revision is None else _whole_state(ctx, request.unit, revision - 1)


def _after(ctx: Invocation, request: "Rollback | Redo | Revert", reply: Reply) -> object:
    """Return the whole state after an undo, if the request asked for it."""
    revision = _revision_of(ctx, reply) if request.states else None
    return None if revision is None else _whole_state(ctx, request.unit, revision)


_DOCUMENTS = {"removing": _removing, "before": _before, "after": _after}


def _revision_of(ctx: Invocation, reply: Reply) -> int | None:
    """Return the revision that an undo made; None if there was nothing to undo, or it is no longer kept."""
    is_kept = "undone" in reply.extra and ctx.tx.history.changeset(reply.revision or 0) is not None
    return reply.revision if is_kept else None


def _whole_state(ctx: Invocation, name: str, revision: int) -> object:
    return show.state_of(ctx, ctx.recorded_unit(name), ctx.tx.history.state_at(name, revision))


@arguments
class Rollback(WriteAndApply):
    """The arguments of rollback."""

    unit: UnitName
    to: Text | None = argument(default=None, doc="Bring the state of this revision back: r41, @~2, applied, a time.")
    steps: Annotated[
        int | None,
        Keywords(
            "Undo so many changes; 1 if neither is given.",
            type=["integer", "null"],
            minimum=1,
            maximum=_MAX_STEPS,
            default=None,
        ),
    ] = None
    states: bool = argument(default=False, doc=_STATES)


@endpoint("rollback", right="rollback", action="roll back", shows=_DOCUMENTS)
def rollback(ctx: Invocation, request: Rollback) -> Proposal:
    """Undo the newest changes that are in effect, or bring the state of an older revision back. No handler runs."""
    failpoint("rollback.before")
    unit = ctx.recorded_unit(request.unit)
    if request.to is not None and request.steps is not None:
        raise MessageRefused("cannot roll back: give the number of steps or a revision to go back to, not both")
    nothing = f"nothing to roll back in {unit.name}"
    if request.to is not None:
        revision = resolve(ctx, unit.name, request.to)
        edits = back_to(ctx.tx, unit.name, revision)
        change = UnitChange(unit, ChangesetKind.ROLLBACK, edits, revision, is_ruled=False)
        nothing += f": it is as it was at r{revision}"
    else:
        undo = ctx.tx.history.rollback_of(unit.name, request.steps or 1)
        change = UnitChange(unit, ChangesetKind.ROLLBACK, [], is_ruled=False, undo=undo)
    return UndoProposal("rolled back", [change], nothing=nothing)


@arguments
class Redo(WriteAndApply):
    """The arguments of redo."""

    unit: UnitName
    steps: Annotated[int, Keywords("So many changes.", minimum=1, maximum=_MAX_STEPS)] = 1
    states: bool = argument(default=False, doc=_STATES)


@endpoint("redo", right="rollback", shows=_DOCUMENTS)
def redo(ctx: Invocation, request: Redo) -> Proposal:
    """Bring back what was rolled back last; once more goes further forward, until a new change is made."""
    failpoint("rollback.before")
    unit = ctx.recorded_unit(request.unit)
    undo = ctx.tx.history.redo_of(unit.name, request.steps)
    change = UnitChange(unit, ChangesetKind.REDO, [], is_ruled=False, undo=undo)
    return UndoProposal("redone", [change], nothing=f"nothing to redo in {unit.name}")


def back_to(tx: Transaction, unit: str, revision: int) -> list[Edit]:
    """Return what makes the unit what it was at ``revision``, to the byte and at the same places."""
    return [
        Edit(change.after, change.before, change.instance_id, change.first_revision)
        for change in tx.history.between(unit, revision, tx.revision())
        if change.before != change.after
    ]


@arguments
class Revert(WriteAndApply):
    """The arguments of revert."""

    unit: UnitName
    revision: RevisionNumber = argument(doc="The change that is taken back.")
    states: bool = argument(default=False, doc=_STATES)


@endpoint("revert", right="rollback", shows=_DOCUMENTS)
def revert(ctx: Invocation, request: Revert) -> Proposal:
    """Undo one older change and keep later ones; `RevertConflict` if a later one has changed the same values."""
    failpoint("rollback.before")
    unit = ctx.usable_unit(request.unit)
    old = _on_line(ctx, unit, int(request.revision.removeprefix("r")))
    clashes: list[Finding] = []
    reverted = (_reverted(ctx, unit, change, clashes) for change in ctx.tx.history.changes(old.revision))
    edits = [edit for edit in reverted if edit is not None]
    if clashes:
        raise RevertConflict(
            f"cannot revert r{old.revision} of {unit.name}: later changes conflict with it, nothing was changed",
            errors=clashes,
            hint=f"see who: lmaps blame {unit.name}",
        )
    _check_keys(ctx, unit, edits)
    change = UnitChange(unit, ChangesetKind.REVERT, edits, old.revision)
    nothing = f"nothing to revert: nothing of r{old.revision} is left"
    return UndoProposal("reverted", [change], nothing=nothing)


def _on_line(ctx: Invocation, unit: Unit, revision: int) -> Changeset:
    """Return the changeset of the unit that can be reverted; raise `NotFound` or `Conflict` if it cannot."""
    old = ctx.tx.history.changeset(revision)
    if old is None or old.unit != unit.name:
        where = f"; r{revision} is of {old.unit}" if old and ctx.may(old.unit, "list") else ""
        raise NotFound(f"cannot revert: {unit.name} has no changeset r{revision}{where}")
    if not old.on_line:
        raise Conflict(
            f"cannot revert r{revision} of {unit.name}: it is a {old.kind}",
            hint=f"undo it instead: lmaps {'rollback' if old.kind == ChangesetKind.REDO else 'redo'} {unit.name}",
        )
    if not ctx.tx.history.on_line(unit.name, [revision]):
        raise Conflict(f"cannot revert r{revision} of {unit.name}: it is not in effect, it was rolled back")
    return old


def _reverted(ctx: Invocation, unit: Unit, old: Change, clashes: list[Finding]) -> Edit | None:
    """Return what takes ``old`` back, None if nothing is left of it."""
    instance = ctx.tx.instances.by_number(unit.name, [old.instance_id]).get(old.instance_id)
    now = instance.document if instance else None
    if _alike(now, old.before):
        return None
    if _alike(now, old.after):
        return Edit(now, old.before, old.instance_id, old.first_revision)
    if instance is None:
        if old.before is not None and old.after is not None:
            clashes.append(_clash(ctx, unit, Difference((), old.after.key, MISSING), old.after.key))
        return None
    documents = PublicDocuments(ctx, unit)
    if old.after is None:
        clashes.append(_clash(ctx, unit, Difference((), MISSING, documents.completed(instance.document)), instance.key))
        return None
    if old.before is None:
        differing = documents.differences(old.after, instance.document)
        clashes.extend(_clash(ctx, unit, difference, instance.key) for difference in differing)
        return None
    try:
        return _taken_back(ctx, unit, instance, old.before, old.after)
    except Clash as clash:
        difference = Difference(clash.path, clash.expected, clash.got)
        [hidden] = documents.hide([difference], [old.before, old.after, instance.document])
        clashes.append(_clash(ctx, unit, hidden, instance.key))
        return None


def _alike(document: Document | None, other: Document | None) -> bool:
    """Return whether two documents are the same when completed, or neither is there."""
    if document is None or other is None:
        return document is other
    return same(json.loads(document.clear_completed), json.loads(other.clear_completed))


def _taken_back(ctx: Invocation, unit: Unit, instance: Instance, before: Document, after: Document) -> Edit | None:
    """Return ``instance`` without what lies between ``before`` and ``after``: given documents are merged."""
    back = list(differences(json.loads(after.clear_given), json.loads(before.clear_given)))
    accepted = acceptance.accept_changed(ctx, unit, merged(json.loads(instance.clear_given), back))
    if jsonio.canonical(accepted.completed) == jsonio.canonical(json.loads(instance.clear_completed)):
        return None
    return Edit.of(instance, acceptance.new_document(ctx, unit, accepted))


def _clash(ctx: Invocation, unit: Unit, difference: Difference, key: str) -> Finding:
    """Return what keeps a change from being taken back; a subject without the right ``show`` learns which alone."""
    path, expected, got = difference
    if not ctx.may(unit.name, "show"):
        return Finding(f"{short_id(key)} was changed later")
    was, now = ("nothing" if value is MISSING else jsonio.encode(value) for value in (expected, got))
    return Finding(
        f"{short_id(key)}: {pointer(path) or 'it'} was made {was}, and is {now} now",
        at=path,
        got=None if got is MISSING else got,
        allowed=None if expected is MISSING else expected,
    )


def _check_keys(ctx: Invocation, unit: Unit, edits: Sequence[Edit]) -> None:
    """Raise `AlreadyExists` if an instance that comes back would take the key of another one."""
    coming = [edit.after.key for edit in edits if edit.after]
    leaving = {edit.id for edit in edits}
    stored = ctx.tx.instances.find(unit.name, coming).values()
    taken = [instance.key for instance in stored if instance.id not in leaving]
    taken += [key for key, count in Counter(coming).items() if count > 1]
    if taken:
        message = f"cannot revert in {unit.name}: {short_id(taken[0])} exists again, made by a later change"
        raise AlreadyExists(message)


@arguments
class History:
    """The arguments of history."""

    unit: UnitName | None = argument(default=None, doc="Only of this unit.")
    limit: Limit = argument(default=20, doc="At most so many.")
    since: Text | None = argument(default=None, doc="Only from then on: a time, or how long ago (-2h).")
    author: Text | None = argument(default=None, doc="Only of this author.")
    ticket: Text | None = argument(default=None, doc="Only for this ticket.")
    diff: bool = argument(default=False, doc="With every value that changed.")


@endpoint("history", right="show", scope="some", action="show the history")
def history(ctx: Invocation, request: History) -> Reply:
    """List the changesets of a unit, or of all, newest first: who, when, why, and which instances."""
    changesets = ctx.tx.history.changesets(
        ctx.units_with("show") if request.unit is None else ctx.recorded_unit(request.unit).name,
        limit=request.limit,
        since=times.format_time(times.read_time(request.since)) if request.since else None,
        author=request.author,
        ticket=request.ticket,
    )
    rows = [_view(ctx, changeset, with_diff=request.diff).to_json() for changeset in changesets]
    return Reply("", extra={"changesets": rows})


def _view(ctx: Invocation, changeset: Changeset, *, with_diff: bool) -> ChangesetView:
    """Return a changeset as its readers see it."""
    changed = ctx.tx.history.changes(changeset.revision, None if with_diff else MAX_CHANGES_SHOWN)
    is_whole = len(changed) < MAX_CHANGES_SHOWN
    return ChangesetView(
        **{name: getattr(changeset, name) for name in _SHOWN_COLUMNS},
        instances=len(changed) if is_whole else ctx.tx.history.size(changeset.revision),
        changes=[changes.signed(change) for change in changed[:MAX_CHANGES_SHOWN]],
        diff=changes.diff_rows(ctx, changeset.unit, changed) if with_diff else None,
    )


@arguments
class Diff:
    """The arguments of diff."""

    unit: UnitName
    from_: Text | None = argument(default=None, doc="The first revision; the applied one if it is left out.")
    to: Text = argument(default="@", doc="The second revision.")


@endpoint("diff", right="show", action="compare revisions")
def diff(ctx: Invocation, request: Diff) -> Reply:
    """Show how a unit's instances differ between two revisions, by ID and path."""
    unit = ctx.recorded_unit(request.unit)
    older = request.from_
    first = resolve(ctx, unit.name, older) if older else ctx.tx.jobs.applied_revision(unit.name) or 0
    second = resolve(ctx, unit.name, request.to)
    rows = changes.diff_of(ctx, unit.name, first, second)
    signs = [row.sign for row in rows]
    return Reply(
        f"{unit.name} r{first} to r{second}: {plural(len(rows), 'instance')} differ",
        level=1 if rows else 0,
        extra={
            "unit": unit.name,
            "from": first,
            "to": second,
            "added": signs.count("+"),
            "changed": signs.count("~"),
            "deleted": signs.count("-"),
            "diff": [row.to_json() for row in rows],
        },
    )
