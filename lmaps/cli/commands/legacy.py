"""The original's flags, as in ``lmaps --create --file F --unit U``: hidden from help, with the original's output."""

from dataclasses import dataclass

import click

from lmaps.cli.commands.instances import send_documents
from lmaps.cli.documents import read_documents
from lmaps.cli.session import Session
from lmaps.cli.watch import level, read_job, watch
from lmaps.errors import UsageError
from lmaps.model.states import JobState


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of a call, by the original's names."""

    create: bool = False
    apply: bool = False
    rollback: bool = False
    list_units: bool = False
    show_summary: bool = False
    discover: str | None = None
    unit: str | None = None
    file: str | None = None

    def any(self) -> bool:
        """Return whether a flag asks for something; ``--unit`` and ``--file`` alone do not."""
        return bool(self.create or self.apply or self.rollback or self.list_units or self.show_summary or self.discover)


def run(session: Session, flags: Flags) -> None:
    """Do what the flags ask for and print the original's data, as YAML unless another format is asked for."""
    session.format = session.format or "yaml"
    if session.stderr.isatty():
        session.print_message("these flags go on working; today's commands: lmaps --help")
    if flags.list_units:
        session.print_data([row["unit"] for row in session.call("units").extra["units"]])
    elif flags.discover:
        session.endpoint = flags.discover
        session.print_data(session.call("discover").extra)
    # The original's --create --apply applies the file; without a file it is refused as --create alone is.
    elif flags.create and (flags.file is None or not flags.apply):
        _create(session, _unit(flags), flags.file)
    elif flags.apply:
        _apply(session, _unit(flags), flags.file)
    elif flags.rollback:
        _rollback(session, _unit(flags))
    else:
        session.print_data(session.call("show", unit=_unit(flags)).extra["state"])


def _unit(flags: Flags) -> str:
    if flags.unit is None:
        raise UsageError("no unit is named: name it with --unit")
    return flags.unit


def _create(session: Session, unit: str, file: str | None) -> None:
    if file is None:
        raise UsageError("--create needs a file: name it with --file")
    documents = read_documents([file])
    reply = send_documents(documents, lambda values: session.call("create", unit=unit, instances=values))
    session.print_data(reply.extra["instances"])


def _apply(session: Session, unit: str, file: str | None) -> None:
    """Apply and watch the job; the exit code is the handler's own where it has failed with one."""
    documents = read_documents([file]) if file else []
    reply = send_documents(documents, lambda values: session.call("apply", unit=unit, instances=values))
    job = watch(session, read_job(reply).job)
    session.print_data(job.to_json())
    failed_rc = job.rc if job.outcome == JobState.FAILED and (job.rc or 0) > 0 else None
    raise click.exceptions.Exit(failed_rc or level(job))


def _rollback(session: Session, unit: str) -> None:
    reply = session.call("rollback", unit=unit, states=True)
    if reply.extra.get("nothing"):
        session.print_message(reply.message)
    session.print_data({name: reply.extra.get(name) for name in ("removing", "before", "after")})
