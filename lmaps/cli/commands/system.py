"""``status``, ``audit``, ``handlers``, ``reload``, ``discover``, ``completion``."""

from collections.abc import Iterator
from typing import Any

import click
from click.shell_completion import get_completion_class

from lmaps.cli.render import Table, aligned, revision
from lmaps.cli.session import Session, any_unit, command, unit_argument
from lmaps.util.text import plural
from lmaps.util.times import format_duration, in_seconds

SLOW_COMMIT = 0.1
"""Seconds that a commit takes on a disk that is called slow."""


@command("status", examples="lmaps status\nlmaps status -o json\nlmaps status --wait --timeout 1m")
@click.option("--wait", is_flag=True, help="Wait for a daemon that is starting, for up to --timeout.")
def status(session: Session, wait: bool) -> None:
    """Show how the daemon stands: processes, queue, state, units."""
    if wait:
        client = session.connect()
        client.reach_within = client.timeout
    extra = session.call("status").extra
    session.lines(extra, _status_lines(extra))


def _status_lines(told: dict[str, Any]) -> list[str]:
    head = [
        ("daemon", f"lMaPS {told['version']}{_made_of(told)}, up {format_duration(told['uptime'])}"),
        ("processes", f"supervisor {told['supervisor'] or '-'}, manager {told['pid']}"),
        ("sockets", ", ".join(told["endpoints"])),
        ("state", f"{told['db']} at {revision(told['revision'])}{_disk(told)}"),
        ("queue", plural(told["queue"], "job")),
        *_counted(told.get("counters", {})),
    ]
    workers = [(f"worker {worker['slot']}", _worker(worker)) for worker in told["workers"]]
    units = [(f"unit {unit['unit']}", _stands(unit)) for unit in told["units"]]
    lines = aligned([*head, *workers, *units], indent="")
    return [
        *lines,
        *([f"{plural(len(told['errors']), 'error')} in unit files: lmaps units --errors"] if told["errors"] else []),
    ]


def _made_of(told: dict[str, Any]) -> str:
    """`` with Python 3.11.2, SQLite 3.40.1, libzmq 4.3.5``."""
    versions = told.get("versions")
    if not versions:
        return ""
    return f" with Python {versions['python']}, SQLite {versions['sqlite']}, libzmq {versions['libzmq']}"


def _counted(counters: dict[str, int]) -> Iterator[tuple[str, str]]:
    """What has been counted, on three lines at most; what has not happened is not mentioned."""
    lines = {
        "requests": [
            ("requests", "{:,} answered"),
            ("refused", "{:,} refused"),
            ("busy", "{:,} told to come back"),
            ("dropped", "{:,} dropped"),
        ],
        "denied": [
            ("denied", "{:,}"),
            ("audit_suppressed", "{:,} of them left out of the audit"),
            ("connections_refused", "{:,} refused a connection"),
        ],
        "restarts": [("restarts", "{:,} since the start")],
    }
    for head, parts in lines.items():
        told = [words.format(counters[name]) for name, words in parts if counters.get(name)]
        if told:
            yield head, ", ".join(told)


def _disk(told: dict[str, Any]) -> str:
    """What is to be said about the disk, if anything is."""
    if told.get("degraded"):
        return f"; {told['degraded']}"
    seconds = told.get("commit_seconds") or 0
    return f"; the disk is slow, the last change took it {format_duration(seconds)}" if seconds >= SLOW_COMMIT else ""


def _worker(worker: dict[str, Any]) -> str:
    return f"pid {worker['pid']}, " + (f"runs job {worker['job']}" if worker["job"] else worker["state"])


def _stands(unit: dict[str, Any]) -> str:
    """``pending 2, at r9, applied r7``."""
    known = {"at": revision(unit["revision"]), "applied": revision(unit["applied"])}
    return ", ".join([unit["condition"], *(f"{name} {number}" for name, number in known.items() if number)])


@command("audit", examples="lmaps audit\nlmaps audit web --since -2h\nlmaps audit --author alice --limit 100")
@unit_argument
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10_000), default=20, show_default=True, help="So many rows."
)
@click.option("--since", metavar="TIME", help="Only what came since: RFC 3339, HH:MM, or -2h.")
@click.option("--author", metavar="NAME", help="Only what this user asked for.")
def audit(
    session: Session, unit: str | None, unit_option: str | None, limit: int, since: str | None, author: str | None
) -> None:
    """List who asked for what, newest first: changes, what was revealed, and what was denied."""
    name = any_unit(unit, unit_option)
    rows = session.call("audit", unit=name, limit=limit, since=since, author=author).extra["audit"]
    headers = ("AT", "AUTHOR", "DOOR", "VERB", "UNIT", "REVISION", "JOB", "OUTCOME")
    cells = [
        (
            in_seconds(row["at"]),
            _who(row),
            *(row[name] for name in ("door", "verb", "unit")),
            revision(row["revision"]),
            row["job"],
            _outcome(row),
        )
        for row in rows
    ]
    session.data(rows, Table(headers, cells), [str(row["sequence"]) for row in rows])


def _who(row: dict[str, Any]) -> str:
    return " for ".join(filter(None, (row["subject"], row["on_behalf_of"])))


def _outcome(row: dict[str, Any]) -> str:
    """``not-allowed, after 4 more``."""
    return f"{row['outcome']}, after {row['suppressed']} more" if row["suppressed"] else str(row["outcome"])


@command("handlers", examples="lmaps handlers\nlmaps handlers -o yaml")
def handlers(session: Session) -> None:
    """List the handlers that units may name."""
    rows = session.call("handlers").extra["handlers"]
    cells = [(row["type"], row.get("preview"), row.get("doc") or f"cannot be loaded: {row['error']}") for row in rows]
    session.data(rows, Table(("HANDLER", "PREVIEW", "WHAT IT DOES"), cells), [row["type"] for row in rows])


@command("reload", examples="lmaps reload")
def reload(session: Session) -> None:
    """Load unit files, policy and keys anew: all of it, or nothing if there is an error."""
    reply = session.call("reload")
    if session.structured:
        session.data(reply.extra, names=reply.extra["units"])
    session.words(reply.message)


@command("discover", examples="lmaps discover -o pretty\nlmaps discover ipc:///run/lmaps/manager.sock")
@click.argument("uri", metavar="[URI]", required=False)
def discover(session: Session, uri: str | None) -> None:
    """Show which requests the daemon takes, as JSON Schema."""
    session.endpoint = uri or session.endpoint
    session.data(session.call("discover").extra)


@command(
    "completion",
    examples='eval "$(lmaps completion bash)"\nlmaps completion fish > ~/.config/fish/completions/lmaps.fish',
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, session: Session, shell: str) -> None:
    """Print what makes a shell complete commands, options and units."""
    made = get_completion_class(shell)
    if made is not None:
        session.write(made(ctx.find_root().command, {}, "lmaps", "_LMAPS_COMPLETE").source() + "\n")
