"""The command line of lmapsd."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lmaps.config import Config, default_paths, load_config
from lmaps.config.paths import absolute, absolute_uri, directory
from lmaps.diagnostics.check import check
from lmaps.errors import AnotherDaemon, LmapsError, UsageError
from lmaps.store.backup import restore as restore_backup
from lmaps.store.backup import verify as verify_backup
from lmaps.supervisor.locks import locked
from lmaps.supervisor.report import say, tell
from lmaps.supervisor.supervisor import Daemon
from lmaps.transport.addresses import ipc_path, is_tcp
from lmaps.util.failpoints import set_up_failpoints
from lmaps.util.logs import set_up_logging
from lmaps.util.ownership import check_owned, login_name
from lmaps.util.times import parse_duration
from lmaps.version import __version__

HELP = """Run the lMaPS daemon, in the foreground: one manager and the workers.

Each option stands above the configuration's key of the same meaning.
"""

EXAMPLES = """\b
Examples:
  lmapsd --workers 4
  lmapsd --check --config /etc/lmaps/lmaps.yaml
  lmapsd --units ./units --db ./lmaps.db --bind ipc://./manager.sock

\b
Signals:
  TERM  end; running jobs have --stop-grace, none after a second TERM
  INT   end at once
  HUP   load unit files, policy and keys anew; an error keeps what is in use

\b
Exit codes:
  0 ended as told     1 the manager could not be kept alive     2 usage
  65 state unusable   75 another daemon runs                    78 configuration
"""


@click.command("lmapsd", help=HELP, epilog=EXAMPLES, context_settings={"help_option_names": ["--help", "-h"]})
@click.option("--workers", "-w", type=click.IntRange(1, 256), metavar="N", help="Jobs that run side by side. [2]")
@click.option("--config", "file", envvar="LMAPS_CONFIG", metavar="FILE", help="The configuration. [lmaps.yaml found]")
@click.option("--units", multiple=True, metavar="DIR", help="Directory of unit files; repeat it for more.")
@click.option("--db", metavar="FILE", help="The database file.")
@click.option(
    "--bind",
    multiple=True,
    metavar="URI",
    help="Where clients are served; repeat it for more. Unless the configuration says where the workers' socket and "
    "the jobs' folder lie, they lie beside the first ipc socket.",
)
@click.option("--check", "checking", is_flag=True, help="Check configuration, units and database; start nothing.")
@click.option("--verify", metavar="FILE", hidden=True, help="Look a backup over; start nothing.")
@click.option("--restore", "backup", metavar="FILE", hidden=True, help="Put a backup in the place of the state.")
@click.option("--stop-grace", default="60s", show_default=True, metavar="D", help="What running jobs have at the end.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[info]")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[text]")
@click.version_option(__version__, prog_name="lmapsd", message="%(prog)s %(version)s")
def command(
    file: str | None, checking: bool, verify: str | None, backup: str | None, stop_grace: str, **given: Any
) -> int:
    """Run the daemon, or do what needs it to be stopped; the exit code."""
    if verify is not None:
        verify_backup(verify)
        return 0
    grace = parse_duration(stop_grace)
    config = _overridden(load_config(file), given)
    if config["file"] is not None:
        check_owned(config["file"], config["uid"], "the configuration")
    set_up_logging("supervisor", config["log"]["level"], config["log"]["format"])
    if backup is not None:
        return _restore(backup, Path(config["db"]))
    return check(config) if checking else Daemon(config, grace).run()


def _restore(backup: str, db: Path) -> int:
    """Put ``backup`` in the place of the state, which nobody uses, and tell where the old one is."""
    try:
        with locked([db]):
            restored = restore_backup(backup, str(db), login_name(os.getuid()))
    except AnotherDaemon as error:
        raise AnotherDaemon(error.message.replace("cannot start", "cannot restore"), hint="stop it first") from error
    say(f"restored {backup}, at r{restored.revision}", *([f"the old state: {restored.kept}"] if restored.kept else []))
    return 0


def start(arguments: Sequence[str] | None = None) -> int:
    """Run lmapsd with ``arguments`` (default: the command line's); the exit code. Errors are told, none is raised."""
    try:
        set_up_failpoints(os.environ)
        code: int = command.main(arguments, prog_name="lmapsd", standalone_mode=False)
    except LmapsError as error:
        tell(error)
        return error.daemon_level
    except click.ClickException as error:
        say(f"cannot understand the command: {error.format_message()}", "see lmapsd --help")
        return UsageError.daemon_level
    except click.Abort:
        return 130
    return code


def _overridden(config: Config, given: dict[str, Any]) -> Config:
    """``config`` with what the command line says; relative paths count from the working directory."""
    base, level, style = directory(None), given["log_level"], given["log_format"]
    rpc = config["rpc"].copy()
    if given["bind"]:
        rpc["manager_bind"] = [absolute_uri(uri, base) for uri in given["bind"]]
        if rpc["worker_bind"] == f"ipc://{default_paths(os.getuid(), os.environ).worker_socket}":
            sockets = [ipc_path(uri) for uri in rpc["manager_bind"] if not is_tcp(uri)]
            rpc["worker_bind"] = f"ipc://{sockets[0].with_name('internal.sock')}" if sockets else rpc["worker_bind"]
    return {
        **config,
        "rpc": rpc,
        "workers": given["workers"] or config["workers"],
        "db": absolute(given["db"], base) if given["db"] else config["db"],
        "unit_dirs": [absolute(name, base) for name in given["units"]] or config["unit_dirs"],
        "log": {"level": level or config["log"]["level"], "format": style or config["log"]["format"]},
    }
