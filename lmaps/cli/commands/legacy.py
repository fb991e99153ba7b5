"""The original's flags: ``lmaps --create --file F --unit U`` and their like. Hidden from help, kept as they were."""

from dataclasses import dataclass

import click

from lmaps.cli import watch
from lmaps.cli.commands import instances
from lmaps.cli.documents import read_documents
from lmaps.cli.session import Session
from lmaps.errors import UsageError


@dataclass(frozen=True, slots=True)
class Flags:
    """What was asked for, as the original spelled it."""

    create: bool = False
    apply: bool = False
    rollback: bool = False
    list_units: bool = False
    show_summary: bool = False
    discover: str | None = None
    unit: str | None = None
    file: str | None = None

    def any(self) -> bool:
        """Whether something was asked for."""
        return bool(self.create or self.apply or self.rollback or self.list_units or self.show_summary or self.discover)


def run(session: Session, flags: Flags) -> None:
    """Do what the flags ask for, and print the original's data, YAML unless another format is asked for."""
    session.format = session.format or "yaml"
    if session.stderr.isatty():
        session.words("these flags go on working; today's commands: lmaps --help")
    if flags.list_units:
        session.data([row["unit"] for row in session.call("units").extra["units"]])
    elif flags.discover:
        session.endpoint = flags.discover
        session.data(session.call("discover").extra)
    elif flags.create and (flags.file is None or not flags.apply):
        _create(session, _unit(flags), flags.file)
    elif flags.apply:
        _apply(session, _unit(flags), flags.file)
    elif flags.rollback:
        reply = session.call("rollback", unit=_unit(flags), states=True)
        extra = reply.extra
        if extra.get("nothing"):
            session.words(reply.message)
        session.data({name: extra.get(name) for name in ("removing", "before", "after")})
    else:
        session.data(session.call("show", unit=_unit(flags)).extra["state"])


def _unit(flags: Flags) -> str:
    if flags.unit is None:
        raise UsageError("cannot do it without a unit: name it with --unit")
    return flags.unit


def _create(session: Session, unit: str, file: str | None) -> None:
    if file is None:
        raise UsageError("cannot create without a file: name it with --file")
    given = read_documents([file])
    reply = instances.send_documents(given, lambda documents: session.call("create", unit=unit, instances=documents))
    session.data(reply.extra["instances"])


def _apply(session: Session, unit: str, file: str | None) -> None:
    """The exit code is the handler's own, where it has one."""
    given = read_documents([file]) if file else []
    reply = instances.send_documents(given, lambda documents: session.call("apply", unit=unit, instances=documents))
    ended = watch.watch(session, reply.extra["job"]["job"])
    session.data(ended)
    own = ended["rc"] if ended["outcome"] == "failed" and (ended["rc"] or 0) > 0 else None
    raise click.exceptions.Exit(own or watch.level(ended))
