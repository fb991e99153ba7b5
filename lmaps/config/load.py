"""Loading the configuration for the daemon: checked, every setting filled in, every path absolute."""

import os
from pathlib import Path

from lmaps.config import limits
from lmaps.config.document import parse, refusal
from lmaps.config.paths import default_paths, default_policy, directory, find_config_file, read
from lmaps.config.settings import SCHEMA, Config
from lmaps.errors import ValidationFailed
from lmaps.model.schema import Schema
from lmaps.util.jsonio import JsonObject


def load_config(config_file: str | None = None) -> Config:
    """Return the configuration in ``config_file``, checked, with every setting filled in.

    Without a file `find_config_file` looks for one. Raises what `load_config_file` does.
    """
    return load_config_file(config_file or find_config_file())


def load_config_file(file: str | None) -> Config:
    """Return the configuration in ``file``; without one every setting has its default.

    Raises `ConfigError` with every finding and its place.
    """
    document = parse(read(file), file) if file else None
    try:
        values = Schema(SCHEMA).complete(document.value if document else {})
    except ValidationFailed as refused:
        raise refusal(file, document, refused.errors) from refused
    base = directory(file)
    origin = {"file": file, "uid": os.getuid(), "document": document}
    config = Config.resolved(_with_defaults(values, base) | origin, base)
    if findings := limits.findings(config.limits):
        raise refusal(file, document, findings)
    return config


def _with_defaults(values: JsonObject, base: str) -> JsonObject:
    """Return ``values``, its missing settings filled in with the defaults that depend on the user and the host."""
    paths = default_paths(os.getuid(), os.environ)
    sockets = {"manager_bind": f"ipc://{paths.manager_socket}", "worker_bind": f"ipc://{paths.worker_socket}"}
    defaults = {"db": paths.db, "policy": default_policy(os.getuid()), "unit_dirs": _default_unit_dirs(base)}
    return defaults | values | {"rpc": sockets | values["rpc"]}


def _default_unit_dirs(base: str) -> list[str]:
    """Return the default directories of unit files that exist.

    They are ``units.d`` beside the configuration, and that of the system for root, that of the user for others.
    """
    own = Path("/etc/lmaps/units") if os.getuid() == 0 else Path("~/.config/lmaps/units").expanduser()
    return [str(path) for path in (Path(base) / "units.d", own) if path.is_dir()]
