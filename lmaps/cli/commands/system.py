"""``status``, ``audit``, ``handlers``, ``reload``, ``discover``, ``completion``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click
from click.shell_completion import get_completion_class

from lmaps.cli.options import command, limit_option, optional_unit_argument
from lmaps.cli.render import Table, revision
from lmaps.cli.session import Session, read_row
from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import aligned
from lmaps.util.text import plural
from lmaps.util.times import format_duration, in_seconds

if TYPE_CHECKING:
    from lmaps.protocol import views
    from lmaps.protocol.views import AuditView, DaemonStatus, UnitStatus, WorkerStatus
else:
    views = LazyModule("lmaps.protocol.views")  # 15 ms that --help does without

SLOW_COMMIT_S = 0.1
"""A disk on which a commit takes longer is called slow."""

COUNTER_LINES = {
    "requests": {
        "requests": "{:,} answered",
        "refused": "{:,} refused",
        "busy": "{:,} asked to try again later",
        "dropped": "{:,} dropped",
    },
    "denied": {
        "denied": "{:,}",
        "audit_suppressed": "{:,} of them left out of the audit",
        "connections_refused": "{:,} refused a connection",
    },
    "restarts": {"restarts": "{:,} since the start"},
}
"""The lines of `status` that show counters: the counters of each, with their text."""


@command("status", examples="lmaps status\nlmaps status -o json\nlmaps status --wait --timeout 1m")
@click.option("--wait", is_flag=True, help="Wait for a daemon that is starting, for up to --timeout.")
def status(session: Session, wait: bool) -> None:
    """Show the daemon's processes, queue, state and units."""
    if wait:
        # A client gives up on a daemon that does not listen after a few seconds, whatever its timeout.
        client = session.connect()
        client.reach_within = client.timeout
    extra = session.call("status").extra
    session.print_lines(extra, _status_lines(views.DaemonStatus.from_json(extra)))


def _status_lines(status: "DaemonStatus") -> list[str]:
    rows = [
        ("daemon", f"lMaPS {status.version}{_versions(status)}, up {format_duration(status.uptime)}"),
        ("processes", f"supervisor {status.supervisor or '-'}, manager {status.pid}"),
        ("sockets", ", ".join(status.endpoints)),
        ("state", f"{status.db} at {revision(status.revision)}{_disk(status)}"),
        ("queue", plural(status.queue, "job")),
        *_counted(status.counters),
        *((f"worker {worker.slot}", _worker_state(worker)) for worker in status.workers),
        *((f"unit {unit.unit}", _unit_state(unit)) for unit in status.units),
    ]
    lines = aligned(rows, indent="")
    if status.errors:
        lines.append(f"{plural(len(status.errors), 'error')} in unit files: lmaps units --errors")
    return lines


def _versions(status: "DaemonStatus") -> str:
    """Return what the daemon runs on: `` with Python 3.11.2, SQLite 3.40.1, libzmq 4.3.5``."""
    versions = status.versions
    if versions is None:
        return ""
    return f" with Python {versions.python}, SQLite {versions.sqlite}, libzmq {versions.libzmq}"


def _disk(status: "DaemonStatus") -> str:
    """Return what is wrong with the disk, an empty text if nothing is."""
    if status.degraded:
        return f"; {status.degraded}"
    if status.commit_seconds < SLOW_COMMIT_S:
        return ""
    return f"; the disk is slow, the last change took it {format_duration(status.commit_seconds)}"


def _counted(counters: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the lines of `COUNTER_LINES`, without the counters that are zero."""
    for head, texts in COUNTER_LINES.items():
        parts = [text.format(counters[name]) for name, text in texts.items() if counters.get(name)]
        if parts:
            yield head, ", ".join(parts)


def _worker_state(worker: "WorkerStatus") -> str:
    return f"pid {worker.pid}, " + (f"runs job {worker.job}" if worker.job else worker.state)


def _unit_state(unit: "UnitStatus") -> str:
    """Return a unit's condition and revisions: ``pending 2, at r9, applied r7``."""
    at = [f"at {revision(unit.revision)}"] if unit.revision is not None else []
    applied = [f"applied {revision(unit.applied)}"] if unit.applied is not None else []
    return ", ".join([unit.condition, *at, *applied])


@command("audit", examples="lmaps audit\nlmaps audit web --since -2h\nlmaps audit --author alice --limit 100")
@optional_unit_argument
@limit_option
@click.option("--since", metavar="TIME", help="Only later requests: RFC 3339, HH:MM, or -2h.")
@click.option("--author", metavar="NAME", help="Only requests of this user.")
def audit(session: Session, unit: str | None, limit: int, since: str | None, author: str | None) -> None:
    """List who asked for what, newest first: changes, reveals of secrets, and denials."""
    data = session.call("audit", unit=unit, limit=limit, since=since, author=author).extra["audit"]
    rows = [views.AuditView.from_json(row) for row in data]
    headers = ("AT", "AUTHOR", "DOOR", "VERB", "UNIT", "REVISION", "JOB", "OUTCOME")
    session.print_data(data, Table(headers, list(map(_audit_cells, rows))), [str(row.sequence) for row in rows])


def _audit_cells(row: "AuditView") -> Sequence[object]:
    author = f"{row.subject} for {row.on_behalf_of}" if row.on_behalf_of else row.subject
    outcome = f"{row.outcome}, after {row.suppressed} more" if row.suppressed else row.outcome
    return (in_seconds(row.at), author, row.door, row.verb, row.unit, revision(row.revision), row.job, outcome)


class _Handler(NamedTuple):
    """A handler, or the error that keeps it from being loaded."""

    type: str
    preview: str | None = None
    doc: str | None = None
    error: str | None = None


@command("handlers", examples="lmaps handlers\nlmaps handlers -o yaml")
def handlers(session: Session) -> None:
    """List the handlers that units may name."""
    data = session.call("handlers").extra["handlers"]
    rows = [read_row(_Handler, row) for row in data]
    cells = [(row.type, row.preview, row.doc or f"cannot be loaded: {row.error}") for row in rows]
    session.print_data(data, Table(("HANDLER", "PREVIEW", "WHAT IT DOES"), cells), [row.type for row in rows])


@command("reload", examples="lmaps reload")
def reload(session: Session) -> None:
    """Reload unit files, policy and keys: all of them, or nothing if there is an error."""
    reply = session.call("reload")
    if session.structured:
        session.print_data(reply.extra, names=reply.extra["units"])
    session.print_message(reply.message)


@command("discover", examples="lmaps discover -o pretty\nlmaps discover ipc:///run/lmaps/manager.sock")
@click.argument("uri", metavar="[URI]", required=False)
def discover(session: Session, uri: str | None) -> None:
    """Show which requests the daemon accepts, as JSON Schema."""
    session.endpoint = uri or session.endpoint
    session.print_data(session.call("discover").extra)


@command(
    "completion",
    examples='eval "$(lmaps completion bash)"\nlmaps completion fish > ~/.config/fish/completions/lmaps.fish',
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, session: Session, shell: str) -> None:
    """Print a script that completes commands, options and units in a shell."""
    completion_class = get_completion_class(shell)
    if completion_class is not None:
        script = completion_class(ctx.find_root().command, {}, "lmaps", "_LMAPS_COMPLETE").source()
        session.write(f"{script}\n")
