"""The tables ``job`` and ``job_line``: runs of handlers and their output."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, exists, func, insert, literal_column, or_, select, update

from lmaps.model.states import ChangesetKind, ConfirmationState, JobKind, JobState
from lmaps.store.checksums import checked, signed
from lmaps.store.history import History
from lmaps.store.models import changeset, job, job_line
from lmaps.store.rows import Job, JobLine, Origin
from lmaps.store.session import Session
from lmaps.store.statements import Prepared
from lmaps.util import times

_OF_UNIT = job.c.unit == bindparam("unit")
_NEWEST_FIRST = job.c.id.desc()
_JOB = Prepared(select(job).where(job.c.id == bindparam("number")))
_SIGN = Prepared(update(job).where(job.c.id == bindparam("number")).values(checksum=bindparam("signature")))
_QUEUED = select(job).where(job.c.state == JobState.QUEUED).order_by(job.c.id)
_NEXT = Prepared(_QUEUED.where(job.c.covered_by.is_(None)))
_COVERED_BY = Prepared(_QUEUED.where(job.c.covered_by == bindparam("number")))
_COUNT_WAITING = Prepared(
    select(func.count()).where(job.c.state == JobState.QUEUED, job.c.author == bindparam("author"))
)
# Literals, as SQLAlchemy writes out the parameters of IN only when it runs the statement itself.
_IS_UNCONFIRMED = job.c.confirmation.in_(
    [literal_column(f"'{state}'") for state in (ConfirmationState.WAITING, ConfirmationState.UNDOING)]
)
_UNCONFIRMED = Prepared(select(job).where(_IS_UNCONFIRMED).order_by(_NEWEST_FIRST))
# The plus keeps SQLite from using the index on the unit: a unit has many jobs, and few of all are unconfirmed.
_UNCONFIRMED_OF = Prepared(
    select(job).where(_IS_UNCONFIRMED, literal_column("+job.unit") == bindparam("unit")).order_by(_NEWEST_FIRST)
)
_APPLIED = Prepared(
    select(job.c.revision)
    .where(_OF_UNIT, job.c.state == JobState.SUCCEEDED, job.c.kind == JobKind.APPLY)
    .order_by(_NEWEST_FIRST)
    .limit(1)
)
_LAST_APPLY = Prepared(
    select(job)
    .where(_OF_UNIT, job.c.kind == JobKind.APPLY, job.c.started_at.is_not(None))
    .order_by(_NEWEST_FIRST)
    .limit(1)
)
_RESTORED_SINCE = Prepared(
    select(changeset.c.revision)
    .where(
        changeset.c.unit == bindparam("unit"),
        changeset.c.kind == ChangesetKind.RESTORE,
        changeset.c.revision > bindparam("revision"),
    )
    .limit(1)
)
_INSERT_LINE = Prepared(insert(job_line))
_LAST_LINE = Prepared(select(func.max(job_line.c.number)).where(job_line.c.job == bindparam("number")))


class Jobs:
    """Jobs, newest first unless said otherwise. Methods raise `StateDamaged` if a job does not fit its checksum."""

    __slots__ = ("_history", "_session")

    def __init__(self, session: Session, history: History) -> None:
        self._session = session
        self._history = history

    def add(self, unit: str, kind: JobKind, revision: int, digest: str, origin: Origin, **columns: object) -> Job:
        """Queue a job; ``columns`` are further ones that it has from its beginning."""
        self._session.counters.job += 1
        row = {
            "id": self._session.counters.job,
            "unit": unit,
            "kind": kind,
            "revision": revision,
            "digest": digest,
            "state": JobState.QUEUED,
            "author": origin.author,
            "on_behalf_of": origin.on_behalf_of,
            "door": origin.door,
            "message": origin.message,
            "ticket": origin.ticket,
            "request_key": origin.request_key,
            "queued_at": times.now(),
        }
        self._session.insert(job, row | columns)
        return self._sign(self._session.counters.job)

    def update(self, number: int, **columns: object) -> None:
        """Change ``columns`` of a job; ``summary`` is a mapping of counts."""
        if columns.get("summary") is not None:
            columns["summary"] = json.dumps(columns["summary"])
        self._session.write(update(job).where(job.c.id == number).values(**columns))
        self._sign(number)

    def _sign(self, number: int) -> Job:
        """Bring the checksum of a job that was written up to date, and return the job."""
        # Read back what the database has made of it: an integer that is written to a column of REAL is a float there.
        [row] = self._session.rows(_JOB, number=number)
        columns = dict(zip(job.c.keys(), row, strict=True))
        del columns["checksum"]
        self._session.write_each(_SIGN, [{"number": number, "signature": signed(job, columns)[-1]}])
        self._session.cache.forget_jobs(columns["unit"])
        return _job(columns)

    def find(self, number: int) -> Job | None:
        """Return the job with this number, None if there is none."""
        jobs = self._read(_JOB, number=number)
        return jobs[0] if jobs else None

    def search(
        self, unit: str | Sequence[str] | None = None, states: Sequence[str] | None = None, limit: int | None = None
    ) -> list[Job]:
        """Return the jobs of one unit, of several, or of all, in these states or in any."""
        query = select(job).order_by(_NEWEST_FIRST).limit(limit)
        if unit is not None:
            query = query.where(job.c.unit == unit if isinstance(unit, str) else job.c.unit.in_(unit))
        if states is not None:
            query = query.where(job.c.state.in_(states))
        return self._select(query)

    def queued(self) -> list[Job]:
        """Return the jobs that wait to be run, the next one first; jobs that another one covers are not run."""
        cache = self._session.cache
        if cache.queued is None:
            cache.queued = self._read(_NEXT)
        return list(cache.queued)

    def count_waiting(self, author: str) -> int:
        """Return how many jobs of an author wait, with those that another one covers."""
        return self._session.value(_COUNT_WAITING, author=author) or 0

    def covered_by(self, number: int) -> list[Job]:
        """Return the jobs that end as this one does, which covers them, oldest first."""
        return self._read(_COVERED_BY, number=number)

    def end(self, number: int, **outcome: object) -> list[int]:
        """End a job, and those that it covers; return the numbers of all."""
        covered = [waiting.id for waiting in self.covered_by(number)]
        self.update(number, ended_at=times.now(), **outcome)
        for waiting in covered:
            self.update(waiting, ended_at=times.now(), **outcome | {"state": JobState.COVERED})
        return [number, *covered]

    def withdraw(self, number: int) -> list[int]:
        """Cancel a job that waits; the first of those that it covers takes its place. Return the numbers that ended."""
        covered = [waiting.id for waiting in self.covered_by(number)]
        for place, waiting in enumerate(covered):
            self.update(waiting, covered_by=covered[0] if place else None)
        self.update(number, state=JobState.CANCELLED, covered_by=None, ended_at=times.now())
        return [number]

    def last_apply(self, unit: str) -> Job | None:
        """Return the unit's newest apply that has begun, None if there is none."""
        applies = self._session.cache.last_apply
        if unit not in applies:
            jobs = self._read(_LAST_APPLY, unit=unit)
            applies[unit] = jobs[0] if jobs else None
        return applies[unit]

    def unconfirmed(self, unit: str | None = None) -> list[Job]:
        """Return the jobs, of one unit or of all, that wait for confirmation or are being undone."""
        if unit is None:
            return self._read(_UNCONFIRMED)
        unconfirmed = self._session.cache.unconfirmed
        if unit not in unconfirmed:
            unconfirmed[unit] = self._read(_UNCONFIRMED_OF, unit=unit)
        return list(unconfirmed[unit])

    def undoing(self, unit: str, number: int) -> list[Job]:
        """Return the jobs of a unit that undid a job, or tried to."""
        query = select(job).where(job.c.unit == unit, job.c.undoes == number)
        return self._select(query.order_by(_NEWEST_FIRST))

    def applied_revision(self, unit: str) -> int | None:
        """Return the revision that the unit's handler last ran with successfully, None if it never did."""
        applied = self._session.cache.applied
        if unit not in applied:
            applied[unit] = self._session.value(_APPLIED, unit=unit)
        return applied[unit]

    def is_pending(self, unit: str) -> bool:
        """Return whether the unit's state differs from the one that its handler last ran with.

        The end of the line identifies the state: after a change and its rollback it is the same again. A state that
        came from a backup is pending, since nobody knows what was applied after the backup was made.
        """
        head = self._history.head(unit)
        revision = self.applied_revision(unit)
        applied = self._history.changeset(revision) if revision else None
        if head is None:
            return False
        if head.line_end != (applied.line_end if applied else None):
            return True
        return self._session.value(_RESTORED_SINCE, unit=unit, revision=revision or 0) is not None

    def count_pending(self, unit: str) -> int:
        """Return how many changesets of the unit its handler has not run with, 0 if the state is the applied one."""
        pending = self._session.cache.pending
        if unit not in pending:
            applied = self.applied_revision(unit) or 0
            pending[unit] = self._history.count_after(unit, applied) if self.is_pending(unit) else 0
        return pending[unit]

    def pinned_revisions(self, unit: str) -> list[int]:
        """Return the revisions of a unit after which no changeset may be dropped.

        These are the applied one, those of jobs that have not ended, and those that unconfirmed jobs would go back to.
        """
        previous = [unconfirmed.previous_revision for unconfirmed in self.unconfirmed(unit)]
        unended = select(job.c.revision).where(job.c.unit == unit, job.c.state.in_((JobState.QUEUED, JobState.RUNNING)))
        revisions = filter(None, [self.applied_revision(unit), *previous])
        return [*revisions, *self._session.connection.scalars(unended)]

    def add_lines(self, number: int, first: int, lines: Sequence[Mapping[str, object]]) -> None:
        """Append output of a job; ``first`` numbers the first line."""
        rows = [
            {
                "job": number,
                "number": place,
                "at": line["at"],
                "stream": line["stream"],
                "text": line["text"],
                "event": json.dumps(line["event"]) if line.get("event") is not None else None,
            }
            for place, line in enumerate(lines, first)
        ]
        if rows:
            self._session.write_each(_INSERT_LINE, rows)

    def lines(self, number: int, after: int = 0, limit: int = 1000) -> list[JobLine]:
        """Return a job's output after line ``after``, oldest first."""
        query = select(job_line).where(job_line.c.job == number, job_line.c.number > after)
        rows = self._session.connection.execute(query.order_by(job_line.c.number).limit(limit))
        return [
            JobLine(row.job, row.number, row.at, row.stream, row.text, json.loads(row.event) if row.event else None)
            for row in rows
        ]

    def last_line(self, number: int) -> int:
        """Return the number of a job's newest line, 0 before the first."""
        return self._session.value(_LAST_LINE, number=number) or 0

    def forget_output(self, succeeded_before: str, others_before: str, limit: int) -> int:
        """Delete the output of up to ``limit`` jobs that ended before these times; return how many jobs it was."""
        succeeded = job.c.state.in_((JobState.SUCCEEDED, JobState.COVERED))
        old = or_(and_(succeeded, job.c.ended_at < succeeded_before), and_(~succeeded, job.c.ended_at < others_before))
        has_output = exists().where(job_line.c.job == job.c.id)
        query = select(job.c.id).where(old, has_output).order_by(job.c.id).limit(limit)
        numbers = self._session.connection.scalars(query).all()
        if numbers:
            self._session.write(delete(job_line).where(job_line.c.job.in_(numbers)))
        return len(numbers)

    def _select(self, query: Select[Any]) -> list[Job]:
        return [_job(checked(job, row)) for row in self._session.connection.execute(query)]

    def _read(self, statement: Prepared, **values: object) -> list[Job]:
        return [_job(checked(job, row)) for row in self._session.rows(statement, **values)]


def _job(columns: dict[str, Any]) -> Job:
    return Job(
        **columns
        | {
            "kind": JobKind(columns["kind"]),
            "state": JobState(columns["state"]),
            "confirmation": ConfirmationState(columns["confirmation"]) if columns["confirmation"] else None,
            "summary": json.loads(columns["summary"]) if columns["summary"] else None,
        }
    )
