"""The tables ``changeset``, ``change`` and ``instance``, written: changes, and how they are undone."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, or_, select

from lmaps.model.states import ChangesetKind
from lmaps.store.history import History, net
from lmaps.store.instances import MAX_ROWID, Instances
from lmaps.store.jobs import Jobs
from lmaps.store.models import change, changeset, document, horizon, instance
from lmaps.store.rows import Change, Changeset, Document, Edit, Instance, Origin
from lmaps.store.session import Session
from lmaps.store.statements import Prepared
from lmaps.util.failpoints import failpoint

PRUNE_BATCH = 1000
"""Changesets of a unit that one change drops at most, when more are kept than are to be."""

_FORGET = Prepared(
    delete(document).where(
        document.c.id == bindparam("old"),
        ~exists().where(
            change.c.instance_id == document.c.instance_id,
            or_(change.c.before_document == document.c.id, change.c.after_document == document.c.id),
        ),
        ~exists().where(instance.c.id == document.c.instance_id, instance.c.document == document.c.id),
    )
)
"""Forget a document that no change and no instance has any more."""


class Changesets:
    """Changes of units. Instances are what follows from them, and nothing else changes an instance."""

    __slots__ = ("_history", "_instances", "_jobs", "_session")

    def __init__(self, session: Session, instances: Instances, history: History, jobs: Jobs) -> None:
        self._session = session
        self._instances = instances
        self._history = history
        self._jobs = jobs

    def record(
        self, unit: str, kind: ChangesetKind, why: Origin, edits: Sequence[Edit], target: int | None = None
    ) -> Changeset:
        """Record ``edits`` as one change at the end of the unit's line; the redo list is empty after it."""
        head = self._history.head(unit)
        revision = self._session.counters.revision + 1
        made = self._append(unit, kind, why, target, line_end=revision, line_previous=head.line_end if head else None)
        self._carry_out(made, [self._numbered(revision, edit) for edit in edits])
        return made

    def rollback(self, unit: str, why: Origin, steps: int = 1) -> Changeset | None:
        """Take the last changes off the unit's line, ``steps`` of them or as many as there are; None if there is none.

        The documents come back as they were, to the byte.
        """
        head = self._history.head(unit)
        off = self._history.line(head.line_end, limit=steps) if head else []
        oldest = self._history.changeset(off[-1]) if off else None
        if head is None or oldest is None:
            return None
        taken = [each for revision in off for each in reversed(self._history.changes(revision))]
        made = self._append(
            unit,
            ChangesetKind.ROLLBACK,
            why,
            oldest.revision,
            line_end=oldest.line_previous,
            redo_end=head.redo_end or head.line_end,
        )
        self._carry_out(made, _together(made.revision, [_exchanged(each) for each in taken]))
        return made

    def redo(self, unit: str, why: Origin, steps: int = 1) -> Changeset | None:
        """Put back on the line what rollback took off, ``steps`` changes or as many as there are; None for none."""
        head = self._history.head(unit)
        back = self._history.redoable(unit)[:steps]
        if head is None or not back:
            return None
        brought = [each for revision in back for each in self._history.changes(revision)]
        left = None if back[-1] == head.redo_end else head.redo_end
        made = self._append(unit, ChangesetKind.REDO, why, back[-1], line_end=back[-1], redo_end=left)
        self._carry_out(made, _together(made.revision, brought))
        return made

    def mark_restored(self, unit: str, why: Origin) -> Changeset:
        """Record that the state was put back from a backup: an empty changeset, not on the line."""
        head = self._history.head(unit)
        ends = {"line_end": head.line_end, "redo_end": head.redo_end} if head else {}
        return self._append(unit, ChangesetKind.RESTORE, why, None, **ends)

    def restore_history(self, changesets: Iterable[tuple[Changeset, Sequence[Change]]]) -> None:
        """Take over changesets as they are, oldest first, into a state that has none."""
        known: dict[tuple[int, Document | None], Document | None] = {}
        for made, changes in changesets:
            self._session.counters.revision = made.revision
            self._session.counters.instance = max(
                [self._session.counters.instance, *(each.instance_id for each in changes)]
            )
            self._keep(made)
            found = [
                each.with_ends(*(known.get((each.instance_id, one), one) for one in each.ends)) for each in changes
            ]
            known |= {(each.instance_id, one): one for each in self._carry_out(made, found) for one in each.ends}

    def retain(self, unit: str, count: int | None, since: str | None) -> int:
        """Drop a unit's oldest changesets that no limit keeps; how many were dropped.

        Kept are the newest ``count`` on the line, so that as many can be undone, and those from ``since`` on; the redo
        list, and whatever lies after the applied revision.
        """
        head = self._history.head(unit)
        if head is None:
            return 0
        limits = [
            head.revision,
            *self._history.redoable(unit)[:1],
            *self._jobs.pinned_revisions(unit),
            *filter(None, [head.line_end]),
        ]
        if count is not None:
            limits += [self._nth_newest(unit, count), *self._history.line(head.line_end, limit=count)[-1:]]
        if since is not None:
            limits.append(self._first_since(unit, since))
        dropped = self._session.connection.scalars(
            select(changeset.c.revision)
            .where(changeset.c.unit == unit, changeset.c.revision < min(limits))
            .order_by(changeset.c.revision)
            .limit(PRUNE_BATCH)
        ).all()
        if dropped:
            self._drop(unit, dropped[-1])
        return len(dropped)

    def _drop(self, unit: str, until: int) -> None:
        gone = select(changeset.c.revision).where(changeset.c.unit == unit, changeset.c.revision <= until)
        ends = self._session.connection.execute(
            select(change.c.before_document, change.c.after_document).where(change.c.revision.in_(gone))
        )
        documents = {number for pair in ends for number in pair if number is not None}
        self._session.write(delete(change).where(change.c.revision.in_(gone)))
        self._session.write_each(_FORGET, [{"old": number} for number in documents])
        self._session.write(delete(changeset).where(changeset.c.unit == unit, changeset.c.revision <= until))
        self._session.write(delete(horizon).where(horizon.c.unit == unit))
        self._session.insert(horizon, {"unit": unit, "revision": until})
        self._session.cache.counted.pop(unit, None)
        self._session.cache.pending.pop(unit, None)

    def _nth_newest(self, unit: str, count: int) -> int:
        newest = select(changeset.c.revision).where(changeset.c.unit == unit).order_by(changeset.c.revision.desc())
        return self._session.connection.scalar(newest.offset(count - 1).limit(1)) or 0

    def _first_since(self, unit: str, since: str) -> int:
        kept = select(func.min(changeset.c.revision)).where(changeset.c.unit == unit, changeset.c.at >= since)
        return self._session.connection.scalar(kept) or MAX_ROWID

    def _append(self, unit: str, kind: ChangesetKind, why: Origin, target: int | None, **ends: int | None) -> Changeset:
        self._session.counters.revision += 1
        made = Changeset(
            revision=self._session.counters.revision,
            unit=unit,
            kind=kind,
            author=why.author,
            on_behalf_of=why.on_behalf_of,
            door=why.door,
            message=why.message,
            ticket=why.ticket,
            at=self._session.at,
            request_key=why.request_key,
            target=target,
            **({"line_end": None, "line_previous": None, "redo_end": None} | ends),
        )
        self._keep(made)
        return made

    def _keep(self, made: Changeset) -> None:
        self._session.insert_each(changeset, [made])
        self._session.cache.newest = self._session.cache.heads[made.unit] = made
        self._session.cache.pending.pop(made.unit, None)

    def _numbered(self, revision: int, edit: Edit) -> Change:
        number, first = edit.id, edit.first_revision
        if number is None:
            self._session.counters.instance += 1
            number = self._session.counters.instance
        return Change(revision, number, first or revision, edit.before, edit.after)

    def _carry_out(self, made: Changeset, changes: Sequence[Change]) -> list[Change]:
        """Record ``changes``, and make the instances what they say; the changes as they are kept."""
        if not changes:
            return []
        kept = self._kept(changes)
        failpoint("change.mid")
        self._session.insert_each(change, [_row(each) for each in kept])
        self._instances.remove([each.instance_id for each in kept if each.before is not None])
        self._instances.add(
            [
                Instance(each.instance_id, made.unit, each.after, each.first_revision, made.revision)
                for each in kept
                if each.after is not None
            ]
        )
        if made.unit in self._session.cache.instances:
            more = sum((each.before is None) - (each.after is None) for each in kept)
            self._session.cache.instances[made.unit] += more
        return kept

    def _kept(self, changes: Sequence[Change]) -> list[Change]:
        """``changes``, each with documents that are kept: those that are new get a number."""
        new: list[tuple[Any, ...]] = []

        def kept(one: Document | None, of: int) -> Document | None:
            if one is None or one.id is not None:
                return one
            self._session.counters.document += 1
            numbered = one.numbered(self._session.counters.document)
            new.append(self._instances.document_row(of, numbered))
            return numbered

        made = [
            each.with_ends(kept(each.before, each.instance_id), kept(each.after, each.instance_id)) for each in changes
        ]
        if new:
            self._session.insert_each(document, new)
        return made


def _together(revision: int, changes: Sequence[Change]) -> list[Change]:
    """Changes in the order in which they happen, each instance's taken together; what comes to nothing is left out."""
    by_instance: dict[int, list[Change]] = {}
    for each in changes:
        by_instance.setdefault(each.instance_id, []).append(each)
    taken = [net(several) for several in by_instance.values()]
    return [
        Change(revision, each.instance_id, each.first_revision, each.before, each.after)
        for each in taken
        if each.before != each.after
    ]


def _exchanged(undone: Change) -> Change:
    """``undone`` the other way round."""
    return Change(undone.revision, undone.instance_id, undone.first_revision, undone.after, undone.before)


def _row(each: Change) -> tuple[Any, ...]:
    revision, instance_id, first_revision, before, after = each
    return revision, instance_id, first_revision, before.id if before else None, after.id if after else None
