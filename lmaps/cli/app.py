"""The command line of ``lmaps``: the tree of commands, the entry point, and the one place that prints errors."""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from lmaps.cli import render
from lmaps.cli.options import global_options
from lmaps.cli.session import Session
from lmaps.errors import Finding, LmapsError
from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import aligned

if TYPE_CHECKING:
    import pathlib
    import traceback

    from lmaps import client, config, protocol, version
    from lmaps.cli import documents, lmapsd
    from lmaps.cli.commands import legacy
    from lmaps.util import failpoints, text
else:
    # Most calls need none of them; the start of a command is mostly imports.
    pathlib, traceback = LazyModule("pathlib"), LazyModule("traceback")
    config, protocol, version = (LazyModule(f"lmaps.{name}") for name in ("config", "protocol", "version"))
    documents = LazyModule("lmaps.cli.documents")
    lmapsd, legacy = LazyModule("lmaps.cli.lmapsd"), LazyModule("lmaps.cli.commands.legacy")
    failpoints, text = LazyModule("lmaps.util.failpoints"), LazyModule("lmaps.util.text")

COMMANDS = {
    "units": ("units:units", "List units: type, handler, instances, revisions, condition."),
    "explain": ("units:explain", "Show a unit's properties: type, default, limits, text."),
    "unit": ("units:unit", "Check unit files: lmaps unit check FILE."),
    "create": ("instances:create", "Create instances: all of the given documents, or none."),
    "set": ("instances:set_", "Change an instance, or create it."),
    "delete": ("instances:delete", "Delete instances: all that are named, or none."),
    "show": ("show:show", "Show the state of a unit, or single instances."),
    "validate": ("instances:validate", "Check documents as create does, and store nothing."),
    "plan": ("plan:plan", "Show what an apply would do, and do nothing."),
    "apply": ("jobs:apply", "Pass the whole state of a unit to its handler."),
    "jobs": ("jobs:jobs", "List jobs, newest first."),
    "job": ("jobs:job", "Show everything about a job."),
    "logs": ("jobs:logs", "Show a job's output."),
    "attach": ("jobs:attach", "Watch a job's output until it has ended."),
    "confirm": ("confirm:confirm", "Keep an apply that waits for confirmation, or undo it."),
    "wait": ("jobs:wait", "Wait for jobs to end."),
    "cancel": ("jobs:cancel", "End jobs and every process they started."),
    "request": ("requests:request", "Show the result of a change whose answer was lost."),
    "history": ("history:history", "List changes, newest first."),
    "diff": ("history:diff", "Show how a unit differs between two revisions."),
    "blame": ("blame:blame", "Show which change set each value, by whom, when and why."),
    "rollback": ("history:rollback", "Undo the newest change of a unit."),
    "redo": ("history:redo", "Restore the change that was rolled back last."),
    "revert": ("history:revert", "Undo one older change and keep later ones."),
    "export": ("transfer:export", "Write the stored documents, as they were given."),
    "import": ("transfer:import_", "Store documents that were exported."),
    "migrate": ("transfer:migrate", "Store what the original lMaPS stored."),
    "backup": ("backup:backup", "Copy the whole state to a file while the daemon runs."),
    "restore": ("backup:restore", "Replace the state by a backup, with the daemon stopped."),
    "status": ("system:status", "Show the daemon's processes, queue, state and units."),
    "doctor": ("doctor:doctor", "Check the installation; explain what the policy allows."),
    "keygen": ("keys:keygen", "Make a key pair for tcp, of a client or of a daemon."),
    "audit": ("system:audit", "List who asked for what: changes, reveals, denials."),
    "handlers": ("system:handlers", "List the handlers that units may name."),
    "reload": ("system:reload", "Reload unit files, policy and keys."),
    "discover": ("system:discover", "Show which requests the daemon accepts."),
    "completion": ("system:completion", "Print a script that completes commands in a shell."),
}
"""Every command: its place below lmaps.cli.commands and its line in the help, so that help imports none of them."""

ALIASES = {"list-units": "units", "show-summary": "show", "compare": "diff"}
MAX_FINDINGS = 50
"""Findings of an error that are printed."""
INTERRUPTED_LEVEL = 130

EPILOG = """\
Examples:
  lmaps units
  lmaps create web --set host=www.example.org
  lmaps apply web
  lmaps rollback web

lmaps COMMAND --help describes a command. The daemon is lmapsd.
"""


class LazyGroup(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name or alias, None if there is none."""
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        module, _, attribute = entry[0].partition(":")
        command: click.Command = getattr(import_module(f"lmaps.cli.commands.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does. The error for an unknown command names the most similar one."""
        # click itself has the better error for an unknown option.
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            similar = text.nearest(args[0], [*COMMANDS, *ALIASES])
            hint = f"; did you mean {similar}?" if similar else ""
            raise click.UsageError(f"there is no command {args[0]}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' lines from `COMMANDS`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are: click would fill their lines."""
        formatter.write(f"\n{EPILOG}")


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).write(f"lmaps {version.__version__}\n")
        ctx.exit()


def get_parser() -> click.Group:
    """Return the command tree of ``lmaps``, with the original's flags."""
    hidden: dict[str, Any] = {"hidden": True}
    return LazyGroup(
        "lmaps",
        callback=_root,
        invoke_without_command=True,
        help="Configure a host: typed, stored, reversible.",
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
        params=[
            *global_options(hidden=False),
            click.Option(["--daemon", "-D"], is_flag=True, help="Run the daemon in the foreground."),
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_print_version,
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
        ctx.exit(lmapsd.start(["--config", session.config] if session.config else []))
    elif ctx.invoked_subcommand is not None:
        if any(flags.values()):
            raise click.UsageError("the original's flags and a command do not go together", ctx)
    else:
        original = legacy.Flags(**flags)
        if original.any():
            legacy.run(session, original)
        else:
            session.write(f"{ctx.get_help()}\n")


def print_response(msg: object, format: str = "dict") -> None:  # noqa: A002 (the documented name)
    """Print data on stdout: as ``dict`` (Python's repr), ``json``, ``pretty`` or ``yaml``."""
    Session().write(render.render(msg, format))


def start(args: list[str] | None = None, session: Session | None = None) -> None:
    """Run ``lmaps`` with ``args`` (default: the process's own) and end the process with its exit code."""
    session = session or Session()
    try:
        if "LMAPS_FAILPOINTS" in os.environ:
            failpoints.set_up_failpoints(os.environ)
        code = get_parser().main(args, prog_name="lmaps", standalone_mode=False, obj=session)
    except LmapsError as error:
        code = _print_refusal(session, error)
    except click.ClickException as error:
        code = _print_usage_error(session, error)
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED_LEVEL
    except Exception as error:  # noqa: BLE001 (the edge: a user never sees a traceback)
        code = _print_crash(session, error)
    finally:
        if session.client is not None:
            _close(session.client)
    sys.exit(code if isinstance(code, int) else 0)


def _close(connection: "client.Client") -> None:
    """Close the connection. A Ctrl-C here comes after the command's end and is ignored: else it prints a traceback."""
    with contextlib.suppress(KeyboardInterrupt):
        connection.close()


def _print_refusal(session: Session, error: LmapsError) -> int:
    """Print an error with its findings and hint, also as data if a program reads it; return its exit code."""
    session.print_error(error.message)
    findings = [] if _repeats_message(error) else error.errors[:MAX_FINDINGS]
    for line in aligned(_finding_rows(findings)):
        session.print_error(line)
    if len(error.errors) > MAX_FINDINGS:
        session.print_error(f"  and {len(error.errors) - MAX_FINDINGS} more; -o json lists all")
    if error.hint:
        session.print_message(f"  {error.hint}")
    if session.structured:
        # If stdout cannot be written to, the error is on stderr already and its exit code counts.
        with contextlib.suppress(LmapsError, click.exceptions.Exit):
            session.print_data(protocol.Reply.refusal(error).to_json())
    return error.level


def _repeats_message(error: LmapsError) -> bool:
    """Return whether the message says everything that the only finding does."""
    return len(error.errors) == 1 and all(
        part in error.message for part in (error.errors[0].message, error.errors[0].place)
    )


def _finding_rows(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """Return path and message of each finding, and first its place if any of them has one."""
    places = [_place(finding) for finding in findings]
    return [
        (*([place or "-"] if any(places) else []), finding.path, finding.message)
        for place, finding in zip(places, findings, strict=True)
    ]


def _place(finding: Finding) -> str:
    """Return the place of a finding, or the number of its document where no file is known."""
    return finding.place or (f"document {finding.document + 1}" if finding.document else "")


def _print_usage_error(session: Session, error: click.ClickException) -> int:
    message = error.format_message().rstrip(".")
    session.print_error(f"{message[:1].lower()}{message[1:]}")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        session.print_error(f"  try: {error.ctx.command_path} --help")
    return 2


def _print_crash(session: Session, error: Exception) -> int:
    """Print that lMaPS itself has failed and where the traceback is; return the exit code."""
    path = pathlib.Path(config.default_paths(os.getuid(), os.environ).db).with_name("lmaps-crash.log")
    try:
        # The traceback may show documents with secrets: nobody else may read it. The file is a new one: in the place of
        # an old one there may be a link, for the directory may be that of the daemon's user.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        documents.write_whole(path, ["".join(traceback.format_exception(error)).encode(errors="replace")])
        report = f"; please report it with {path}"
    except (OSError, LmapsError):
        report = ""
    session.print_error(f"cannot go on: an error in lMaPS itself ({type(error).__name__}: {error}){report}")
    return 1
