"""The checks, and the two programs that choose from them: `lmaps doctor` and ``lmapsd --check``."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from lmaps.config.settings import Config
from lmaps.diagnostics import files, programs, state
from lmaps.diagnostics.context import CheckContext, CheckResult
from lmaps.errors import ConfigError, LmapsError, UnitRefused
from lmaps.supervisor.report import describe, print_error, print_lines, print_state
from lmaps.util.text import plural


class Needs(Enum):
    """The input that a check cannot do without."""

    FILES = "files"
    DAEMON = "a daemon that answers"


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its name, its function, and the programs that run it.

    ``doctor``: `lmaps doctor` does. ``start``: ``lmapsd --check`` does.
    """

    name: str
    function: Callable[[CheckContext], CheckResult]
    needs: Needs = Needs.FILES
    doctor: bool = True
    start: bool = False

    def run(self, context: CheckContext) -> CheckResult:
        """Return the result; a check that this user may not make, or that needs a daemon, is unknown."""
        if self.needs is Needs.DAEMON and context.status is None:
            return CheckResult("unknown", "no daemon answers")
        try:
            return self.function(context)
        except PermissionError as error:
            return files.not_permitted(error)
        except OSError as error:
            return CheckResult("fault", f"cannot look at {error.filename}: {error.strerror}")
        except LmapsError as error:
            return CheckResult("unknown", error.message, error.hint)


CHECKS = (
    Check("daemon", programs.daemon),
    Check("workers", programs.workers, Needs.DAEMON),
    Check("python", programs.python),
    Check("sqlite", programs.sqlite),
    Check("libzmq", programs.libzmq),
    Check("ansible", programs.ansible),
    Check("endpoints", files.endpoints, doctor=False, start=True),
    Check("account", files.account, doctor=False, start=True),
    Check("configuration", files.configuration),
    Check("policy", files.policy, start=True),
    Check("keys", files.keys, start=True),
    Check("sockets", files.sockets),
    Check("state", files.state),
    Check("space", state.space),
    Check("disk", state.disk),
    Check("clock", state.clock),
    Check("leftovers", state.leftovers),
    Check("backups", state.backups, Needs.DAEMON),
    Check("secrets", state.secrets),
    Check("units", state.units, start=True),
    Check("database", state.database, doctor=False, start=True),
)
"""Every check, in the order in which the results are printed."""


def examine(context: CheckContext) -> dict[str, CheckResult]:
    """Run the checks of `lmaps doctor`, and return the results by name."""
    return {check.name: check.run(context) for check in CHECKS if check.doctor}


def check_start(config: Config) -> int:
    """Run the checks of ``lmapsd --check``: print every error that a start would report, and return the exit code."""
    context = CheckContext.from_files(config, config.rpc.manager_bind[0])
    code = max(_report(check.run(context)) for check in CHECKS if check.start)
    if not code:
        print_state("nothing is wrong")
    return code


def _report(result: CheckResult) -> int:
    """Print the errors and warnings of a result; return the exit code."""
    for error in result.errors:
        print_error(error)
    if result.warnings:
        print_lines(plural(len(result.warnings), "warning"), *map(describe, result.warnings))
    if result.verdict == "unknown" and not result.errors:
        print_lines(result.message)
    return max(map(_exit_code, result.errors), default=0)


def _exit_code(error: LmapsError) -> int:
    """Return the exit code for an error; a daemon serves without a bad unit, but the check of its file has failed."""
    return ConfigError.daemon_level if isinstance(error, UnitRefused) else error.daemon_level
