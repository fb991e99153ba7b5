"""The command line of lmapsd."""

import contextlib
import gc
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmaps.config import default_paths
from lmaps.config.load import load_config
from lmaps.config.paths import absolute, absolute_uri, directory
from lmaps.config.settings import Config, Log
from lmaps.errors import AnotherDaemon, LmapsError, UsageError
from lmaps.supervisor.locks import locked
from lmaps.supervisor.report import print_error, print_lines
from lmaps.transport.addresses import ipc_path, is_tcp
from lmaps.util.failpoints import set_up_failpoints
from lmaps.util.lazy import LazyModule
from lmaps.util.logs import set_up_logging
from lmaps.util.ownership import check_owned, login_name
from lmaps.util.times import parse_duration
from lmaps.version import __version__

if TYPE_CHECKING:
    from lmaps.diagnostics import checks
    from lmaps.store import backup as backups
    from lmaps.supervisor import supervisor
else:
    # Each imports SQLAlchemy, which takes a third of a second; --help, --version and usage errors do not need it.
    checks = LazyModule("lmaps.diagnostics.checks")
    backups = LazyModule("lmaps.store.backup")
    supervisor = LazyModule("lmaps.supervisor.supervisor")

HELP = """Run the lMaPS daemon, in the foreground: one manager and the workers.

Each option overrides the configuration's key of the same meaning.
"""

EXAMPLES = """\b
Examples:
  lmapsd --workers 4
  lmapsd --check --config /etc/lmaps/lmaps.yaml
  lmapsd --units ./units --db ./lmaps.db --bind ipc://./manager.sock

\b
Signals:
  TERM  stop; running jobs have the time of --stop-grace, a second TERM ends them
  INT   stop at once
  HUP   reload unit files, policy and keys; after an error the old ones stay in use

\b
Exit codes:
  0 stopped           1 the manager could not be kept alive     2 usage
  65 state unusable   75 another daemon runs                    78 configuration
"""


@click.command("lmapsd", help=HELP, epilog=EXAMPLES, context_settings={"help_option_names": ["--help", "-h"]})
@click.option(
    "--workers", "-w", type=click.IntRange(1, 256), metavar="N", help="How many jobs run at the same time. [2]"
)
@click.option("--config", "file", envvar="LMAPS_CONFIG", metavar="FILE", help="The configuration. [lmaps.yaml found]")
@click.option("--units", multiple=True, metavar="DIR", help="Directory of unit files; repeat it for more.")
@click.option("--db", metavar="FILE", help="The database file.")
@click.option(
    "--bind",
    multiple=True,
    metavar="URI",
    help="Address for clients; repeat it for more. The workers' socket and the jobs' folder are beside the first ipc "
    "socket, unless the configuration says where they are.",
)
@click.option("--check", "checking", is_flag=True, help="Check configuration, units and database; start nothing.")
@click.option("--verify", metavar="FILE", hidden=True, help="Verify a backup; start nothing.")
@click.option("--restore", "backup", metavar="FILE", hidden=True, help="Replace the state by a backup.")
@click.option(
    "--stop-grace",
    default="60s",
    show_default=True,
    metavar="D",
    help="Time that running jobs have to end when the daemon stops.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[info]")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[text]")
@click.version_option(__version__, prog_name="lmapsd", message="%(prog)s %(version)s")
def command(
    file: str | None, checking: bool, verify: str | None, backup: str | None, stop_grace: str, **options: object
) -> int:
    """Run the daemon, or check the configuration, verify a backup or restore one; return the exit code."""
    if verify is not None:
        backups.verify(verify)
        return 0
    grace = parse_duration(stop_grace)
    config = _overridden(load_config(file), options)
    if config.file is not None:
        check_owned(config.file, config.uid, "the configuration")
    set_up_logging("supervisor", config.log.level, config.log.format)
    if backup is not None:
        return _restore(backup, Path(config.db))
    if checking:
        return checks.check_start(config)
    with _garbage_collector_paused():
        daemon = supervisor.Daemon(config, grace)
    return daemon.run()


@contextlib.contextmanager
def _garbage_collector_paused() -> Iterator[None]:
    """Pause the garbage collector within the block, and exempt the objects made so far from later collections.

    The imports within the block make no garbage, and searching for it would take a seventh of the start. A later
    collection would write to every object, which copies the memory pages that the children share with this process.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _restore(backup: str, db: Path) -> int:
    """Replace the state by ``backup`` and print where the old state is. Raises `AnotherDaemon` if it is in use."""
    try:
        with locked([db]):
            restored = backups.restore(backup, str(db), login_name(os.getuid()))
    except AnotherDaemon as error:
        raise AnotherDaemon(error.message.replace("cannot start", "cannot restore"), hint="stop it first") from error
    details = [f"the old state: {restored.old_path}"] if restored.old_path else []
    print_lines(f"restored {backup}, at r{restored.revision}", *details)
    return 0


def start(arguments: Sequence[str] | None = None) -> int:
    """Run lmapsd with ``arguments`` (default: those of this process), print errors, and return the exit code."""
    try:
        set_up_failpoints(os.environ)
        code: int = command.main(arguments, prog_name="lmapsd", standalone_mode=False)
    except LmapsError as error:
        print_error(error)
        return error.daemon_level
    except click.ClickException as error:
        print_lines(f"cannot understand the command: {error.format_message()}", "see lmapsd --help")
        return UsageError.daemon_level
    except click.Abort:
        return 130
    return code


def _overridden(config: Config, options: dict[str, Any]) -> Config:
    """Return ``config`` with the values of the command line; relative paths start at the working directory."""
    base, rpc = directory(None), config.rpc
    if options["bind"]:
        rpc = replace(rpc, manager_bind=[absolute_uri(uri, base) for uri in options["bind"]])
        if rpc.worker_bind == f"ipc://{default_paths(os.getuid(), os.environ).worker_socket}":
            # Otherwise two daemons with --bind would both use the one default socket for workers.
            sockets = [ipc_path(uri) for uri in rpc.manager_bind if not is_tcp(uri)]
            rpc = replace(rpc, worker_bind=f"ipc://{sockets[0].with_name('internal.sock')}") if sockets else rpc
    log = Log(level=options["log_level"] or config.log.level, format=options["log_format"] or config.log.format)
    return replace(
        config,
        rpc=rpc,
        workers=options["workers"] or config.workers,
        db=absolute(options["db"], base) if options["db"] else config.db,
        unit_dirs=[absolute(name, base) for name in options["units"]] or config.unit_dirs,
        log=log,
    )
