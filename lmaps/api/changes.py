"""The way of every change: an endpoint proposes it, and `run` checks conditions and rules, records it, and answers.

A proposal is pure: it reads, and may refuse. Whatever is written is written by `record`, in the store.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from lmaps.api import job_queue
from lmaps.api.arguments import Run, WriteAndApply
from lmaps.api.context import Invocation
from lmaps.api.documents import PublicDocuments, all_secrets
from lmaps.errors import Finding, LmapsError, MessageRefused, NotAllowed, Outdated, PendingConfirm, RuleBroken
from lmaps.model.diff import MISSING, Path, look_up, pointer, same
from lmaps.model.states import ChangesetKind, ConfirmationState, JobKind
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.protocol.views import ChangedInstance, InstanceDiff, InstanceRow
from lmaps.store import Change, Changeset, Edit, Job, Undo
from lmaps.util import jsonio, times
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural


class UnitChange(NamedTuple):
    """One change of one unit: what becomes of its instances.

    ``target`` is the revision that the change goes back to, or takes back. A state that was there before comes back as
    it was: it is not ``is_ruled``. An ``undo`` moves along the unit's line.
    """

    unit: Unit
    kind: ChangesetKind
    edits: Sequence[Edit]
    target: int | None = None
    is_ruled: bool = True
    undo: Undo | None = None


class JobOrder(NamedTuple):
    """A job that is queued after the changes."""

    unit: Unit
    kind: JobKind = JobKind.APPLY
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a write would do, and its answer. Nothing of it is done yet.

    ``rows`` are the results of all instances; one that the proposal itself changes has no revision yet.
    """

    message: str
    changes: Sequence[UnitChange] = ()
    rows: Sequence[InstanceRow] = ()
    job: JobOrder | None = None

    def reply(self, ctx: Invocation, changesets: Sequence[Changeset | None], job: Job | None) -> Reply:
        """Return the answer once ``changesets`` (one for each change, None where there were no edits) are recorded."""
        [changeset] = changesets
        if changeset is None:
            revision = ctx.tx.history.newest_revision(self.changes[0].unit.name)
        else:
            revision = changeset.revision
        rows = [row.to_json() for row in self.rows]
        for row in rows:
            if row["revision"] is None:
                row["revision"] = revision
        return Reply(self.message, extra={"instances": rows}, revision=revision)


def run(ctx: Invocation, propose: Callable[[Invocation, Any], object], request: object) -> Reply:
    """Answer a write, with the warnings that came up, also in a refusal."""
    try:
        reply = _run(ctx, propose, request)
    except LmapsError as refused:
        if ctx.warnings:
            refused.extra = refused.extra | _warnings(ctx)
        raise
    return replace(reply, extra=reply.extra | _warnings(ctx)) if ctx.warnings else reply


def _warnings(ctx: Invocation) -> JsonObject:
    return {"warnings": [finding.to_json() for finding in ctx.warnings]}


def _run(ctx: Invocation, propose: Callable[[Invocation, Any], object], request: object) -> Reply:
    """Answer a write; of a dry run answer what it would change, and keep nothing.

    Raises `Outdated` if the unit is not at the revision that the request was made for, `PendingConfirm` if a job of
    the unit waits for confirmation.
    """
    write = ctx.write
    if write.if_rev is not None:
        _expect_revision(ctx, int(write.if_rev.removeprefix("r")))
    if write.dry_run:
        return _dry_run(ctx, propose, request)
    for unit in ctx.units:
        unconfirmed = ctx.tx.jobs.unconfirmed(unit)
        if unconfirmed and not write.is_allowed_unconfirmed:
            raise _pending_confirm(ctx, unit, unconfirmed[0])
    reply = carry_out(ctx, propose(ctx, request))
    if isinstance(write, WriteAndApply) and write.apply is not None:
        job = job_queue.queue(ctx, ctx.usable_unit(ctx.units[0]), run=write.apply)
        view = job_queue.view(ctx, job).to_json()
        return replace(reply, extra=reply.extra | {"job": view}, job=job.id)
    return reply


def carry_out(ctx: Invocation, proposal: object) -> Reply:
    """Record what is proposed, and answer; an endpoint that has written by itself has answered already."""
    if not isinstance(proposal, Proposal):
        if not isinstance(proposal, Reply):
            raise TypeError("an endpoint that writes proposes a change, or answers at once")
        return proposal
    changesets = [record(ctx, change) for change in proposal.changes]
    order = proposal.job
    job = job_queue.queue(ctx, order.unit, order.kind, order.run) if order is not None else None
    return proposal.reply(ctx, changesets, job)


def _dry_run(ctx: Invocation, propose: Callable[[Invocation, Any], object], request: object) -> Reply:
    with ctx.tx.discarded():
        before = ctx.tx.revision()
        reply = carry_out(ctx, propose(ctx, request))
        changesets = ctx.tx.history.changesets(limit=ctx.tx.revision() - before)
        units = dict.fromkeys(changeset.unit for changeset in reversed(changesets))
        diff = {unit: diff_of(ctx, unit, before, ctx.tx.revision()) for unit in units}
    rows = [replace(row, unit=unit).to_json() for unit, unit_rows in diff.items() for row in unit_rows]
    extra = {name: reply.extra[name] for name in ("instances",) if name in reply.extra}
    return Reply(
        f"dry run: {plural(len(rows), 'instance')} would change, nothing was done",
        level=1 if rows else 0,
        extra=extra | {"dry_run": True, "diff": rows},
        revision=before,
    )


def _pending_confirm(ctx: Invocation, unit: str, job: Job) -> PendingConfirm:
    author = _author(ctx, unit, job.author, job.message)
    doing = f"until {job.confirm_deadline}" if job.confirmation == ConfirmationState.WAITING else "it is being undone"
    return PendingConfirm(
        f"{unit} takes no changes: job {job.id}{author} waits for confirmation, {doing}",
        hint=f"lmaps confirm {unit}, or lmaps confirm {unit} --rollback",
    )


def _author(ctx: Invocation, unit: str, author: str, message: str | None) -> str:
    """Return who made a change of the unit or asked for a job, and why; a subject without ``show`` is not told."""
    return f" ({', '.join(filter(None, [author, message]))})" if ctx.may(unit, "show") else ""


def _expect_revision(ctx: Invocation, expected: int) -> None:
    """Raise `Outdated`, with the diff, if ``expected`` is not the newest revision of the request's units."""
    heads = [head for head in map(ctx.tx.history.head, ctx.units) if head is not None]
    newest = max(heads, key=lambda head: head.revision, default=None)
    if (newest.revision if newest else 0) == expected:
        return
    if newest is None:
        raise Outdated(f"{ctx.units[0]} is not at r{expected}: it has no changes yet")
    whose = (ctx.tx.history.changeset(newest.target or 0) if newest.kind == ChangesetKind.REDO else None) or newest
    author = _author(ctx, newest.unit, whose.author, newest.message or whose.message)
    is_kept = ctx.tx.history.horizon(newest.unit) <= expected < newest.revision
    diff = None
    if is_kept and ctx.may(newest.unit, "show"):
        diff = [row.to_json() for row in diff_of(ctx, newest.unit, expected, newest.revision)]
    raise Outdated(
        f"{newest.unit} is not at r{expected}: it is at r{newest.revision}{author}; "
        f"see: lmaps diff {newest.unit} r{expected} r{newest.revision}",
        extra={"diff": diff},
    )


def record(ctx: Invocation, change: UnitChange) -> Changeset | None:
    """Record a change of a unit, if there is anything to change; raise `RuleBroken` if it breaks the unit's rules."""
    unit, kind, edits, target, is_ruled, undo = change
    if not edits and undo is None:
        return None
    if unit.require:
        _require_reason(ctx, unit)
    if is_ruled:
        if unit.max_instances is not None:
            _check_number(ctx, unit, unit.max_instances, edits)
        for path in unit.unique:
            _check_unique(ctx, unit, path, edits)
    if undo is not None:
        return ctx.tx.changesets.record_undo(unit.name, kind, ctx.origin, undo)
    changeset = ctx.tx.changesets.record(unit.name, kind, ctx.origin, edits, target)
    if unit.keep_count is not None or unit.keep_age is not None:
        _retain(ctx, unit)
    if kind is ChangesetKind.IMPORT:
        failpoint("import.mid")
    return changeset


def _require_reason(ctx: Invocation, unit: Unit) -> None:
    """Raise `MessageRefused` if the request does not say what the unit requires of each change."""
    missing = [name for name in unit.require if not (getattr(ctx.write, name) or "").strip()]
    if missing:
        options = " ".join({"message": "-m TEXT", "ticket": "--ticket ID"}[name] for name in missing)
        raise MessageRefused(f"changes of {unit.name} need a {' and a '.join(missing)}", hint=f"add {options}")


def _retain(ctx: Invocation, unit: Unit) -> None:
    """Drop the part of its history that the unit does not want kept."""
    since = None
    if unit.keep_age is not None:
        since = times.format_time(datetime.now(UTC) - timedelta(seconds=unit.keep_age))
    for path in unit.unique:
        ctx.tx.unique_index.follow(unit.name, path)  # it follows the changes, so before they are dropped
    ctx.tx.changesets.retain(unit.name, unit.keep_count, since)


def _check_number(ctx: Invocation, unit: Unit, limit: int, edits: Sequence[Edit]) -> None:
    more = sum((edit.before is None) - (edit.after is None) for edit in edits)
    if more <= 0:
        return
    count = ctx.tx.instances.count(unit.name) + more
    if count > limit:
        raise RuleBroken(
            f"{unit.name} would have {plural(count, 'instance')}, its limit is {limit}; nothing was changed"
        )


def _check_unique(ctx: Invocation, unit: Unit, path: Path, edits: Sequence[Edit]) -> None:
    """Raise `RuleBroken` if two instances had the same value at ``path``; an instance without one does not count.

    Raises `NotAllowed` if that would tell a subject without the right ``reveal`` whether a secret is in use.
    """
    documents = {edit.after.key: json.loads(edit.after.clear_completed) for edit in edits if edit.after}
    values = {key: look_up(document, path) for key, document in documents.items()}
    values = {key: value for key, value in values.items() if value is not MISSING and value is not None}
    secrets = all_secrets(ctx.tx, unit)  # the others may be stored under an older text
    is_secret = any(secrets.has_at(documents[key], path) for key in values)
    if is_secret:
        _expect_reveal(ctx, unit, path)
    touched = {edit.before.key for edit in edits if edit.before} | values.keys()
    others = {
        instance.key: look_up(json.loads(instance.clear_completed), path)
        for instance in ctx.tx.unique_index.find(unit.name, path, list(values.values()))
        if instance.key not in touched
    }
    counts = Counter(jsonio.canonical(value) for value in [*values.values(), *others.values()])
    twice = [key for key, value in values.items() if counts[jsonio.canonical(value)] > 1]
    if twice:
        first = twice[0]
        other = next(key for key, value in {**values, **others}.items() if key != first and same(value, values[first]))
        # A value may be one that is stored, where the request changes another property.
        is_shown = not is_secret and ctx.may(unit.name, "show")
        hidden = "the same secret" if is_secret else "the same value"
        words = {key: jsonio.encode(values[key]) if is_shown else hidden for key in twice}
        holder = short_id(other) if ctx.may(unit.name, "show") else "another instance"
        raise RuleBroken(
            f"{pointer(path)} of {unit.name} has to be unique, and {short_id(first)} has "
            f"{words[first]} as {holder} has; nothing was changed",
            errors=[Finding(f"{short_id(key)} has {words[key]} too", at=path) for key in twice],
        )


def _expect_reveal(ctx: Invocation, unit: Unit, path: Path) -> None:
    """Raise `NotAllowed` if the subject may not learn whether a secret at ``path`` is in use."""
    if not ctx.may(unit.name, "reveal"):
        raise NotAllowed(
            f"cannot {ctx.action} in {unit.name}: {pointer(path)} has to be unique and is secret, and "
            f"{ctx.subject.name} has no right reveal on {unit.name}; nothing was changed",
            hint="the right reveal is needed because the answer tells whether the secret is in use",
        )


def diff_of(ctx: Invocation, unit: str, older: int, newer: int) -> list[InstanceDiff]:
    """Return how a unit's instances differ between two revisions, in either order; 0 is before all changes."""
    if older > newer:
        back = (change.with_ends(change.after, change.before) for change in _between(ctx, unit, newer, older))
        return diff_rows(ctx, unit, back)
    return diff_rows(ctx, unit, _between(ctx, unit, older, newer))


def _between(ctx: Invocation, unit: str, older: int, newer: int) -> Iterable[Change]:
    if older == 0:
        instances = ctx.tx.history.state_at(unit, newer) if newer else []
        return (Change(row.revision, row.id, row.first_revision, None, row.document) for row in instances)
    return ctx.tx.history.between(unit, older, newer)


def diff_rows(ctx: Invocation, unit: str, changes: Iterable[Change]) -> list[InstanceDiff]:
    """Return how the instances of ``changes`` differ, with every path that does; secrets are masked.

    A subject without the right ``show`` on the unit learns which instances differ, not how.
    """
    shown_unit, may_show = ctx.recorded_unit(unit), ctx.may(unit, "show")
    documents = PublicDocuments(ctx, shown_unit)
    rows = []
    for change in changes:
        ctx.manager.beat()
        differing = documents.differences(change.before, change.after)
        if differing or (change.before is None) != (change.after is None):
            changed = signed(change)
            shown = differing if may_show else None
            rows.append(InstanceDiff(changed.sign, changed.id, changed.short, shown_unit.primary_key, shown))
    return rows


def signed(change: Change) -> ChangedInstance:
    """Return what happened to one instance: ``+`` it came, ``-`` it went, ``~`` it changed."""
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    key = next(end.key for end in (change.after, change.before) if end)
    return ChangedInstance(sign, key, short_id(key))
