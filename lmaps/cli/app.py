"""The command line: the tree of commands, the one printer, the entry point. Nothing else prints an error."""

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lmaps.cli import render
from lmaps.cli.session import Session, global_options
from lmaps.errors import Finding, LmapsError

if TYPE_CHECKING:
    from lmaps.client import Client

COMMANDS = {
    "units": ("units:units", "List units: type, handler, instances, revisions, condition."),
    "explain": ("units:explain", "Show a unit's properties: type, default, limits, text."),
    "unit": ("units:unit", "Check unit files: lmaps unit check FILE."),
    "create": ("instances:create", "Create instances: all of the documents given, or none."),
    "set": ("instances:set_", "Change an instance, or make it."),
    "delete": ("instances:delete", "Delete instances: all that are named, or none."),
    "show": ("show:show", "Show the state of a unit, or single instances."),
    "validate": ("instances:validate", "Check documents as create would; nothing is kept."),
    "plan": ("plan:plan", "Show what an apply would do, and do nothing."),
    "apply": ("jobs:apply", "Hand the whole state of a unit to its handler."),
    "jobs": ("jobs:jobs", "List jobs, newest first."),
    "job": ("jobs:job", "Show all that is known of a job."),
    "logs": ("jobs:logs", "Show a job's output."),
    "attach": ("jobs:attach", "Watch a job's output until it has ended."),
    "confirm": ("jobs:confirm", "Keep what waits for confirmation, or undo it."),
    "wait": ("jobs:wait", "Wait for jobs to end."),
    "cancel": ("jobs:cancel", "End jobs, and all that they started."),
    "request": ("jobs:request", "Tell what became of a change whose answer was lost."),
    "history": ("history:history", "List changes, newest first."),
    "diff": ("history:diff", "Show how a unit differs between two revisions."),
    "blame": ("history:blame", "Show who gave each value, when and why."),
    "rollback": ("history:rollback", "Undo the newest change of a unit."),
    "redo": ("history:redo", "Bring back what was rolled back last."),
    "revert": ("history:revert", "Take back one older change, keep what came later."),
    "export": ("transfer:export", "Write out the documents that were given."),
    "import": ("transfer:import_", "Take in documents that were exported."),
    "migrate": ("transfer:migrate", "Take in what the original lMaPS kept."),
    "backup": ("backup:backup", "Copy the whole state to a file, while the daemon runs."),
    "restore": ("backup:restore", "Put a backup in the place of the state; the daemon is stopped."),
    "status": ("system:status", "Show how the daemon stands."),
    "doctor": ("doctor:doctor", "Look whether all is well; tell what the policy allows."),
    "keygen": ("keys:keygen", "Make a key pair, for daemons at tcp and their clients."),
    "audit": ("system:audit", "List who asked for what: changes, reveals, denials."),
    "handlers": ("system:handlers", "List the handlers that units may name."),
    "reload": ("system:reload", "Load unit files, policy and keys anew."),
    "discover": ("system:discover", "Show which requests the daemon takes."),
    "completion": ("system:completion", "Print what makes a shell complete commands."),
}
"""Every command: where it is, and its line in the help, so that help loads none of them."""

ALIASES = {"list-units": "units", "show-summary": "show", "compare": "diff"}
FINDINGS_SHOWN = 50

EPILOG = """\
Examples:
  lmaps units
  lmaps create web --set host=www.example.org
  lmaps apply web
  lmaps rollback web

lmaps COMMAND --help tells more of a command. The daemon is lmapsd.
"""


class LazyGroup(click.Group):
    """Loads a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of their table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name or alias."""
        found = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if found is None:
            return None
        module, _, attribute = found[0].partition(":")
        made: click.Command = getattr(importlib.import_module(f"lmaps.cli.commands.{module}"), attribute)
        return made

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does, but a name that is not there gets the nearest one that is."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from lmaps.util.text import nearest  # noqa: PLC0415 (for typing errors alone)

            near = nearest(args[0], [*COMMANDS, *ALIASES])
            raise click.UsageError(f"there is no command {args[0]}" + (f"; did you mean {near}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Their lines come from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples stand as they are written."""
        formatter.write(f"\n{EPILOG}")


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from lmaps.version import __version__  # noqa: PLC0415 (only this has to pay for it)

        click.echo(f"lmaps {__version__}")
        ctx.exit()


def get_parser() -> click.Group:
    """The command tree of ``lmaps``, with the original's flags."""
    hidden: dict[str, Any] = {"hidden": True}
    return LazyGroup(
        "lmaps",
        callback=_root,
        invoke_without_command=True,
        help="Ask a host for configuration: typed, kept, reversible.",
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
        params=[
            *global_options(hidden=False),
            click.Option(["--daemon", "-D"], is_flag=True, help="Run the daemon in the foreground."),
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Show the version.",
            ),
            click.Option(["--create", "-c"], is_flag=True, **hidden),
            click.Option(["--apply", "-a"], is_flag=True, **hidden),
            click.Option(["--rollback", "-r"], is_flag=True, **hidden),
            click.Option(["--list-units", "-l"], is_flag=True, **hidden),
            click.Option(["--show-summary", "-s"], is_flag=True, **hidden),
            click.Option(["--discover"], metavar="URI", **hidden),
            click.Option(["--unit", "-u"], **hidden),
            click.Option(["--file", "-f"], **hidden),
        ],
    )


@click.pass_context
def _root(ctx: click.Context, /, daemon: bool, **flags: Any) -> None:
    session = ctx.ensure_object(Session)
    if daemon:
        from lmaps.cli import lmapsd  # noqa: PLC0415 (the daemon is another program)

        ctx.exit(lmapsd.start(["--config", session.config] if session.config else []))
    elif ctx.invoked_subcommand is not None:
        if any(flags.values()):
            raise click.UsageError("the original's flags do not go together with a command", ctx)
    else:
        from lmaps.cli.commands import legacy  # noqa: PLC0415 (commands do without)

        asked = legacy.Flags(**flags)
        if not asked.any():
            click.echo(ctx.get_help())
            return
        legacy.run(session, asked)


def print_response(msg: Any, format: str = "dict") -> None:  # noqa: A002 (the documented name)
    """Print data on stdout: ``dict`` (Python's repr), ``json``, ``pretty`` or ``yaml``."""
    click.echo(render.render(msg, format), nl=False)


def start(args: list[str] | None = None, session: Session | None = None) -> None:
    """Run ``lmaps``: the process ends with the exit code of what was asked for."""
    session = session or Session()
    try:
        _set_up_failpoints()
        code = get_parser().main(args, prog_name="lmaps", standalone_mode=False, obj=session)
    except LmapsError as error:
        code = _tell(session, error)
    except click.ClickException as error:
        code = _tell_usage(session, error)
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except Exception as error:  # noqa: BLE001 (the edge: a user never sees a traceback)
        code = _tell_crash(session, error)
    finally:
        if session.client is not None:
            _close(session.client)
    sys.exit(code if isinstance(code, int) else 0)


def _set_up_failpoints() -> None:
    if "LMAPS_FAILPOINTS" in os.environ:
        from lmaps.util.failpoints import set_up_failpoints  # noqa: PLC0415 (for tests alone)

        set_up_failpoints(os.environ)


def _close(client: "Client") -> None:
    """Close the connection; one more Ctrl-C has nothing left to end."""
    with contextlib.suppress(KeyboardInterrupt):
        client.close()


def _tell(session: Session, error: LmapsError) -> int:
    session.tell(error.message)
    findings = [] if _says_it_all(error) else error.errors[:FINDINGS_SHOWN]
    for line in render.aligned(_rows(findings)):
        session.tell(line)
    if len(error.errors) > FINDINGS_SHOWN:
        session.tell(f"  and {len(error.errors) - FINDINGS_SHOWN} more; -o json lists all")
    if error.hint:
        session.words(f"  {error.hint}")
    if session.structured:
        from lmaps.protocol import Reply  # noqa: PLC0415 (good answers do without)

        with contextlib.suppress(LmapsError, click.exceptions.Exit):  # the words are on stderr already
            session.data(Reply.refusal(error).to_json())
    return error.level


def _says_it_all(error: LmapsError) -> bool:
    """Whether the one finding is in the message already."""
    return len(error.errors) == 1 and all(
        part in error.message for part in (error.errors[0].message, error.errors[0].place)
    )


def _rows(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """Place (where one of them has any), path and words of each."""
    places = [_place(finding) for finding in findings]
    return [
        (*([place or "-"] if any(places) else []), finding.path, finding.message)
        for place, finding in zip(places, findings, strict=True)
    ]


def _place(finding: Finding) -> str:
    """With no file at hand the number of the document stands for the place."""
    return finding.place or (f"document {finding.document + 1}" if finding.document else "")


def _tell_usage(session: Session, error: click.ClickException) -> int:
    message = error.format_message().rstrip(".")
    session.tell(f"cannot understand the command: {message[:1].lower()}{message[1:]}")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        session.tell(f"  try: {error.ctx.command_path} --help")
    return 2


def _tell_crash(session: Session, error: Exception) -> int:
    """Say that it is our fault, and where the traceback is."""
    import traceback  # noqa: PLC0415 (3 ms that only a crash has to pay)
    from pathlib import Path  # noqa: PLC0415

    from lmaps.config import default_paths  # noqa: PLC0415

    path = Path(default_paths(os.getuid(), os.environ).db).with_name("lmaps-crash.log")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)))
        where = f"; please report it with {path}"
    except OSError:
        where = ""
    session.tell(f"cannot go on: an error in lMaPS itself ({type(error).__name__}: {error}){where}")
    return 1
