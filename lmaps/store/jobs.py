"""The tables ``job`` and ``job_line``: runs of handlers and their output."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, exists, func, literal_column, or_, select, update

from lmaps.model.states import ChangesetKind, ConfirmationState, JobKind, JobState
from lmaps.store.checksums import checked, signed
from lmaps.store.history import History
from lmaps.store.models import changeset, job, job_line
from lmaps.store.rows import Job, JobLine, Origin
from lmaps.store.session import Session
from lmaps.store.statements import Prepared, insertion
from lmaps.util import times

_UNIT = job.c.unit == bindparam("unit")
_NEWEST = job.c.id.desc()
_JOB = Prepared(select(job).where(job.c.id == bindparam("number")))
_SIGN = Prepared(update(job).where(job.c.id == bindparam("number")).values(checksum=bindparam("signature")))
_QUEUED = select(job).where(job.c.state == JobState.QUEUED).order_by(job.c.id)
_NEXT = Prepared(_QUEUED.where(job.c.covered_by.is_(None)))
_COVERED = Prepared(_QUEUED.where(job.c.covered_by == bindparam("number")))
_WAITING_OF = Prepared(select(func.count()).where(job.c.state == JobState.QUEUED, job.c.author == bindparam("author")))
_GOING = job.c.confirmation.in_(
    [literal_column(repr(state)) for state in (ConfirmationState.WAITING, ConfirmationState.UNDOING)]
)
_UNCONFIRMED = Prepared(select(job).where(_GOING).order_by(_NEWEST))
_UNCONFIRMED_OF = Prepared(
    select(job).where(_GOING, literal_column("+job.unit") == bindparam("unit")).order_by(_NEWEST)
)
"""Found by their confirmation: a unit has many jobs, and few of all wait."""
_APPLIED = Prepared(
    select(job.c.revision)
    .where(_UNIT, job.c.state == JobState.SUCCEEDED, job.c.kind == JobKind.APPLY)
    .order_by(_NEWEST)
    .limit(1)
)
_LAST = Prepared(
    select(job).where(_UNIT, job.c.kind == JobKind.APPLY, job.c.started_at.is_not(None)).order_by(_NEWEST).limit(1)
)
_RESTORED = Prepared(
    select(changeset.c.revision)
    .where(
        changeset.c.unit == bindparam("unit"),
        changeset.c.kind == ChangesetKind.RESTORE,
        changeset.c.revision > bindparam("revision"),
    )
    .limit(1)
)
_LINES = Prepared(select(func.max(job_line.c.number)).where(job_line.c.job == bindparam("number")))


class Jobs:
    """Jobs, newest first unless said otherwise."""

    __slots__ = ("_history", "_session")

    def __init__(self, session: Session, history: History) -> None:
        self._session = session
        self._history = history

    def add(self, unit: str, kind: JobKind, revision: int, digest: str, why: Origin, **columns: Any) -> Job:
        """Queue a job; ``columns`` are the others that it has from its beginning."""
        self._session.counters.job += 1
        row = {
            "id": self._session.counters.job,
            "unit": unit,
            "kind": kind,
            "revision": revision,
            "digest": digest,
            "state": JobState.QUEUED,
            "author": why.author,
            "on_behalf_of": why.on_behalf_of,
            "door": why.door,
            "message": why.message,
            "ticket": why.ticket,
            "request_key": why.request_key,
            "queued_at": times.now(),
        }
        self._session.insert(job, row | columns)
        return self._sign(self._session.counters.job)

    def update(self, number: int, **columns: Any) -> None:
        """Change columns of a job; ``summary`` is a mapping of counts."""
        if columns.get("summary") is not None:
            columns["summary"] = json.dumps(columns["summary"])
        self._session.write(update(job).where(job.c.id == number).values(**columns))
        self._sign(number)

    def _sign(self, number: int) -> Job:
        """Bring the checksum of a job that was written up to date; the job."""
        [row] = self._session.rows(_JOB, number=number)
        told = dict(zip(job.c.keys(), row, strict=True))
        del told["checksum"]
        self._session.write_each(_SIGN, [{"number": number, "signature": signed(job, told)[-1]}])
        self._session.cache.forget_jobs(told["unit"])
        return _job(told)

    def find(self, number: int) -> Job | None:
        """The job of this number."""
        found = self._read(_JOB, number=number)
        return found[0] if found else None

    def search(
        self, unit: str | Sequence[str] | None = None, states: Sequence[str] | None = None, limit: int | None = None
    ) -> list[Job]:
        """Jobs of one unit, of some, or of all, in these states or in any."""
        wanted = select(job).order_by(job.c.id.desc()).limit(limit)
        if unit is not None:
            wanted = wanted.where(job.c.unit == unit if isinstance(unit, str) else job.c.unit.in_(unit))
        if states is not None:
            wanted = wanted.where(job.c.state.in_(states))
        return self._jobs(wanted)

    def queued(self) -> list[Job]:
        """The jobs that wait to be run, the next one first; those that another one covers are not run."""
        if self._session.cache.queued is None:
            self._session.cache.queued = self._read(_NEXT)
        return list(self._session.cache.queued)

    def count_waiting(self, author: str) -> int:
        """How many jobs of an author wait, those that another one covers too."""
        return self._session.value(_WAITING_OF, author=author) or 0

    def covered_by(self, number: int) -> list[Job]:
        """The jobs that wait for the end of this one, which covers them."""
        return self._read(_COVERED, number=number)

    def end(self, number: int, **outcome: Any) -> list[int]:
        """End a job, and those that it covers; the numbers of all."""
        covered = [each.id for each in self.covered_by(number)]
        self.update(number, ended_at=times.now(), **outcome)
        for each in covered:
            self.update(each, ended_at=times.now(), **outcome | {"state": JobState.COVERED})
        return [number, *covered]

    def withdraw(self, number: int) -> list[int]:
        """Take a job that waits out of the queue; the next one that it was to cover stands in its place."""
        covered = [each.id for each in self.covered_by(number)]
        for place, each in enumerate(covered):
            self.update(each, covered_by=covered[0] if place else None)
        self.update(number, state=JobState.CANCELLED, covered_by=None, ended_at=times.now())
        return [number]

    def last_apply(self, unit: str) -> Job | None:
        """The unit's newest apply that has begun."""
        if unit not in self._session.cache.last:
            found = self._read(_LAST, unit=unit)
            self._session.cache.last[unit] = found[0] if found else None
        return self._session.cache.last[unit]

    def unconfirmed(self, unit: str | None = None) -> list[Job]:
        """The jobs, of one unit or of all, that wait for confirmation or are being undone, the newest first."""
        if unit is None:
            return self._read(_UNCONFIRMED)
        if unit not in self._session.cache.unconfirmed:
            self._session.cache.unconfirmed[unit] = self._read(_UNCONFIRMED_OF, unit=unit)
        return list(self._session.cache.unconfirmed[unit])

    def undoing(self, unit: str, number: int) -> list[Job]:
        """The jobs of a unit that took a job back, or tried to, the newest first."""
        wanted = select(job).where(job.c.unit == unit, job.c.undoes == number)
        return self._jobs(wanted.order_by(job.c.id.desc()))

    def applied_revision(self, unit: str) -> int | None:
        """The revision that the unit's handler last ran with success."""
        if unit not in self._session.cache.applied:
            self._session.cache.applied[unit] = self._session.value(_APPLIED, unit=unit)
        return self._session.cache.applied[unit]

    def is_pending(self, unit: str) -> bool:
        """Whether the unit's state is another one than its handler ran with last.

        The end of the line names the state: after a change and its rollback the state is the same again. A state that
        came from a backup is pending, since nobody knows what was applied after the backup was made.
        """
        head = self._history.head(unit)
        applied = self.applied_revision(unit)
        then = self._history.changeset(applied) if applied else None
        if head is None:
            return False
        if head.line_end != (then.line_end if then else None):
            return True
        return self._session.value(_RESTORED, unit=unit, revision=applied or 0) is not None

    def count_pending(self, unit: str) -> int:
        """How many changesets of the unit its handler has not yet run with, 0 if the state is the one applied."""
        if unit not in self._session.cache.pending:
            applied = self.applied_revision(unit) or 0
            self._session.cache.pending[unit] = self._history.count_after(unit, applied) if self.is_pending(unit) else 0
        return self._session.cache.pending[unit]

    def pinned_revisions(self, unit: str) -> list[int]:
        """The applied revision, and those of jobs that are not over: what was changed since is to stay known."""
        going = select(job.c.revision).where(job.c.unit == unit, job.c.state.in_((JobState.QUEUED, JobState.RUNNING)))
        back = [each.previous_revision for each in self.unconfirmed(unit)]
        return [*filter(None, [self.applied_revision(unit), *back]), *self._session.connection.scalars(going)]

    def _jobs(self, wanted: Select[Any]) -> list[Job]:
        return [_job(checked(job, row)) for row in self._session.connection.execute(wanted)]

    def _read(self, wanted: Prepared, **values: Any) -> list[Job]:
        return [_job(checked(job, row)) for row in self._session.rows(wanted, **values)]

    def add_lines(self, number: int, first: int, lines: Sequence[dict[str, Any]]) -> None:
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
            self._session.write_rows(insertion(job_line, tuple(rows[0])), [tuple(row.values()) for row in rows])

    def lines(self, number: int, after: int = 0, limit: int = 1000) -> list[JobLine]:
        """A job's output after line ``after``, oldest first."""
        wanted = select(job_line).where(job_line.c.job == number, job_line.c.number > after)
        rows = self._session.connection.execute(wanted.order_by(job_line.c.number).limit(limit))
        return [
            JobLine(row.job, row.number, row.at, row.stream, row.text, json.loads(row.event) if row.event else None)
            for row in rows
        ]

    def forget_output(self, succeeded_before: str, others_before: str, limit: int) -> int:
        """Remove the output of up to ``limit`` jobs that ended before these times; of how many it was."""
        succeeded = job.c.state.in_((JobState.SUCCEEDED, JobState.COVERED))
        old = or_(and_(succeeded, job.c.ended_at < succeeded_before), and_(~succeeded, job.c.ended_at < others_before))
        has_output = exists().where(job_line.c.job == job.c.id)
        found = self._session.connection.scalars(
            select(job.c.id).where(old, has_output).order_by(job.c.id).limit(limit)
        ).all()
        if found:
            self._session.write(delete(job_line).where(job_line.c.job.in_(found)))
        return len(found)

    def last_line(self, number: int) -> int:
        """The number of a job's newest line, 0 before the first."""
        return self._session.value(_LINES, number=number) or 0


def _job(row: dict[str, Any]) -> Job:
    return Job(
        **row
        | {
            "kind": JobKind(row["kind"]),
            "state": JobState(row["state"]),
            "confirmation": ConfirmationState(row["confirmation"]) if row["confirmation"] else None,
            "summary": json.loads(row["summary"]) if row["summary"] else None,
        }
    )
