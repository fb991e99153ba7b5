"""``lmapsd --check``: look at everything that a start needs, and start nothing."""

import os
from pathlib import Path

from lmaps.api.endpoints.system import answer
from lmaps.api.registry import ENDPOINTS
from lmaps.config import Config
from lmaps.errors import AnotherDaemon, ConfigError, LmapsError
from lmaps.model.policy import load_policy
from lmaps.model.units import load_units
from lmaps.protocol import Reply
from lmaps.store import read_key
from lmaps.store.backup import verify
from lmaps.supervisor.locks import locked
from lmaps.supervisor.privileges import manager_account, socket_group
from lmaps.supervisor.report import describe, say, tell
from lmaps.transport.addresses import check_endpoint, ipc_path, is_tcp
from lmaps.transport.curve import read_server_keys
from lmaps.util.ownership import check_owned
from lmaps.util.text import plural


def check(config: Config) -> int:
    """Look at the endpoints, the units and the database in ``config``, tell every fault; the exit code."""
    looks = (_check_endpoints, _check_account, _check_keys, _check_state_key, _check_policy, _check_units)
    codes = [*(look(config) for look in looks), _check_database(Path(config["db"]))]
    if not any(codes):
        print("lmapsd: nothing is wrong")
    return max(codes)


def _check_endpoints(config: Config) -> int:
    try:
        for uri in config["rpc"]["manager_bind"]:
            check_endpoint(uri)
        ipc_path(config["rpc"]["worker_bind"])
    except ConfigError as error:
        tell(error)
        return error.daemon_level
    return 0


def _check_account(config: Config) -> int:
    try:
        manager_account(config)
        socket_group(config)
    except ConfigError as error:
        tell(error)
        return error.daemon_level
    return 0


def _check_keys(config: Config) -> int:
    rpc = config["rpc"]
    try:
        if any(map(is_tcp, rpc["manager_bind"])):
            read_server_keys(rpc["server_key"], rpc["authorized_keys"])
    except ConfigError as error:
        tell(error)
        return error.daemon_level
    return 0


def _check_state_key(config: Config) -> int:
    try:
        if config["state_key"]:
            check_owned(config["state_key"], config["uid"], "the state_key")
            read_key(config["state_key"])
    except ConfigError as error:
        tell(error)
        return error.daemon_level
    return 0


def may(config: Config, who: str, verb: str, unit: str) -> Reply:
    """What the policy in ``config`` says, as the verb may tells it; its owner is who asks."""
    return answer(ENDPOINTS, load_policy(config["policy"], os.getuid()), who, verb, unit)


def _check_policy(config: Config) -> int:
    try:
        load_policy(config["policy"], os.getuid())
    except ConfigError as error:
        tell(error)
        return error.daemon_level
    return 0


def _check_units(config: Config) -> int:
    loaded = load_units(config)
    for error in loaded.errors:
        tell(error)
    if loaded.warnings:
        say(plural(len(loaded.warnings), "warning"), *map(describe, loaded.warnings))
    return ConfigError.daemon_level if loaded.errors else 0


def _check_database(path: Path) -> int:
    """The database, unless there is none yet or a daemon has it, which has looked at it itself."""
    if not path.exists() and not path.with_name(path.name + ".lineage").exists():
        return 0
    try:
        with locked([path]):
            verify(str(path))
    except AnotherDaemon as error:
        say(f"the database was not looked at: {error.message.removeprefix('cannot start: ')}")
    except LmapsError as error:
        tell(error)
        return error.daemon_level
    return 0
