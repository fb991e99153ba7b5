"""Checks of the configuration's files: whether they can be used, and who may read, write and connect."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from lmaps.api.endpoints.system import decide
from lmaps.api.registry import ENDPOINTS
from lmaps.config.policy import load_policy
from lmaps.config.settings import Config
from lmaps.diagnostics.context import CheckContext, CheckResult
from lmaps.errors import ConfigError, LmapsError
from lmaps.protocol import Reply
from lmaps.store import read_key
from lmaps.supervisor.privileges import manager_account, socket_group
from lmaps.transport.addresses import check_endpoint, ipc_path, is_tcp
from lmaps.transport.curve import read_server_keys
from lmaps.util.ownership import check_owned, login_name, ownership_fault
from lmaps.util.text import plural

MAX_LISTED = 3
INSTRUCTION_SUFFIXES = (".yaml", ".yml", ".json", ".py")
CLIENT_SOCKET_MODE = 0o660
WORKER_SOCKET_MODE = 0o600


def endpoints(context: CheckContext) -> CheckResult:
    """Every address of the configuration can be served."""
    uris = context.settings.endpoints
    errors = refusals(
        *(partial(check_endpoint, uri) for uri in uris), partial(ipc_path, context.settings.worker_endpoint)
    )
    return _refused(errors) if errors else CheckResult("ok", plural(len(uris), "endpoint"))


def account(context: CheckContext) -> CheckResult:
    """The host has the user and the group that the configuration names."""
    if context.config is None:
        return CheckResult("ok", f"the manager is {login_name(context.manager)}")
    errors = refusals(partial(manager_account, context.config), partial(socket_group, context.config))
    # Without the user there is no default group either: that is the same error again.
    return _refused(errors[:1]) if errors else CheckResult("ok", f"the manager is {login_name(context.manager)}")


def configuration(context: CheckContext) -> CheckResult:
    """Nobody else may write the files that say what root does."""
    return _check_writers(list(_instructions(context)), context.owner)


def _instructions(context: CheckContext) -> Iterator[Path]:
    """Yield configuration, unit files and plugins, with their directories."""
    if context.settings.file:
        yield Path(context.settings.file)
    for directory in map(Path, (*context.settings.unit_dirs, *context.settings.plugin_dirs)):
        if directory.is_dir():
            yield directory
            yield from sorted(path for path in directory.iterdir() if path.suffix in INSTRUCTION_SUFFIXES)


def policy(context: CheckContext) -> CheckResult:
    """The policy can be loaded, and nobody else may write it."""
    file = context.settings.policy
    if file is None:
        return CheckResult("ok", "the built-in lines: root, the daemon's user, the group lmaps")
    errors = refusals(partial(load_policy, file, context.owner))
    unreadable = _try_to_open([Path(file)])
    if unreadable is not None:
        return replace(unreadable, errors=errors)
    if errors:
        findings = errors[0].errors
        place = f": {findings[0].place} {findings[0].message}" if findings else ""
        return CheckResult("fault", f"{errors[0].message}{place}", "correct it, then: lmaps reload", errors)
    return _check_writers([Path(file)], context.owner)


def policy_decision(config: Config, who: str, verb: str, unit: str) -> Reply:
    """Return what the policy in ``config`` decides, as the endpoint may answers it. This user is taken as its owner."""
    return decide(ENDPOINTS, load_policy(config.policy, os.getuid()), who, verb, unit)


def keys(context: CheckContext) -> CheckResult:
    """The keys can be used, and nobody else can read them."""
    settings = context.settings
    state_key, server_key = settings.state_key, None
    errors: tuple[LmapsError, ...] = ()
    if any(map(is_tcp, settings.endpoints)):
        server_key = settings.server_key
        errors += refusals(partial(read_server_keys, server_key, settings.authorized_keys))
    if state_key:
        errors += refusals(
            partial(check_owned, state_key, context.owner, "the state_key"), partial(read_key, state_key)
        )
    used = [Path(file) for file in (state_key, server_key) if file]
    unreadable = _try_to_open(used)
    if unreadable is not None:
        return replace(unreadable, errors=errors)
    if errors:
        return _refused(errors)
    return _check_writers(used, context.owner) if used else CheckResult("ok", "none is used")


def sockets(context: CheckContext) -> CheckResult:
    """The daemon's sockets are there, and not everybody can connect to them."""
    paths = [*context.sockets, context.worker_socket]
    # The daemon replaces an old socket, but never another file, which may be somebody's data.
    for path in paths:
        if path.exists() and not path.is_socket():
            return CheckResult("fault", f"{path} is no socket: the daemon cannot listen there", "move it away")
    if context.status is None:
        stale = [path for path in paths if path.exists()]
        return CheckResult(
            "ok", f"{plural(len(stale), 'old socket')}, to be replaced" if stale else "no daemon listens"
        )
    allowed_modes = dict.fromkeys(context.sockets, CLIENT_SOCKET_MODE) | {context.worker_socket: WORKER_SOCKET_MODE}
    for path, allowed in allowed_modes.items():
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~allowed:
            message = f"{path} has mode {mode:04o}, {allowed:04o} is the most"
            return CheckResult("fault", message, f"chmod {allowed:o} {path}")
    return CheckResult("ok", plural(len(paths), "socket"))


def state(context: CheckContext) -> CheckResult:
    """Nobody else can read the database, its log and its copies, or replace them."""
    directory = context.db.parent
    if not directory.is_dir():
        return CheckResult("ok", f"there is no {directory} yet")
    files = sorted(path for path in directory.glob(f"{context.db.name}*") if path.is_file())
    readable = [path for path in files if path.stat().st_mode & 0o077]
    if readable:
        return CheckResult("fault", f"others can use {_listed(readable)}", f"chmod 600 {_listed(readable)}")
    return _check_writers([directory, *files], context.manager)


def refusals(*steps: Callable[[], object]) -> tuple[LmapsError, ...]:
    """Call every step, and return the errors raised."""
    errors: list[LmapsError] = []
    for step in steps:
        try:
            step()
        except ConfigError as error:
            errors.append(error)
    return tuple(errors)


def not_permitted(error: PermissionError) -> CheckResult:
    """Return the result of a check that this user may not make."""
    return CheckResult("unknown", f"this user may not look at {error.filename}", "ask as root, or as the daemon's user")


def _refused(errors: tuple[LmapsError, ...]) -> CheckResult:
    return CheckResult("fault", errors[0].message, errors[0].hint, errors)


def _try_to_open(files: Iterable[Path]) -> CheckResult | None:
    """Return a result if this user cannot open one of the files: its content is unknown then, not wrong."""
    for file in files:
        try:
            file.open("rb").close()
        except PermissionError as error:
            return not_permitted(error)
        except OSError as error:
            return CheckResult("fault", f"cannot look at {file}: {error.strerror}")
    return None


def _check_writers(paths: list[Path], owner: int) -> CheckResult:
    """Check that only root and ``owner`` may write ``paths``, and put others in their place."""
    for path in paths:
        path.stat()  # a path that this user may not look at is unknown, and no fault
    faults = list(dict.fromkeys(filter(None, (ownership_fault(path, owner) for path in paths))))
    if faults:
        message, _, advice = faults[0].partition("; ")
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        return CheckResult("fault", f"{message}{more}", advice)
    writers = " and ".join(sorted({login_name(owner), login_name(0)}))
    return CheckResult("ok", f"{plural(len(paths), 'path')}, to be written by {writers} alone")


def _listed(paths: Iterable[Path]) -> str:
    names = [os.fspath(path) for path in paths]
    more = len(names) - MAX_LISTED
    return " ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
