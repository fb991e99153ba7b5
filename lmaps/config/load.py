"""The whole configuration, as the daemon reads it: checked, every key filled, every path absolute."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from lmaps.config import limits
from lmaps.config.document import parse, refusal
from lmaps.config.paths import absolute, absolute_uri, default_paths, default_policy, directory, find_config_file, read
from lmaps.config.schema import SCHEMA
from lmaps.errors import ValidationFailed
from lmaps.model.schema import Schema
from lmaps.util.times import seconds

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from lmaps.util import yamlio


class Rpc(TypedDict):
    """How the daemon is reached, without what is for clients alone; ``timeout`` in seconds."""

    manager_bind: list[str]
    worker_bind: str
    server_key: str
    authorized_keys: str
    timeout: float


class Log(TypedDict):
    """How the daemon logs."""

    level: str
    format: str


class Config(TypedDict):
    """The configuration with every key filled and every path absolute.

    ``document`` knows the places of its parts, ``uid`` is whose daemon it is.
    """

    file: str | None
    uid: int
    document: "yamlio.Document | None"
    rpc: Rpc
    workers: int
    db: str
    units: list[dict[str, Any]]
    unit_dirs: list[str]
    plugin_dirs: list[str]
    state_key: str | None
    policy: str | None
    user: str | None
    group: str | None
    limits: limits.Limits
    log: Log


def load_config(config_file: str | None = None) -> Config:
    """The configuration in ``config_file``, checked, every key filled.

    Without a file `find_config_file` looks for one; if there is none every key has its default. Raises `ConfigError`
    with every finding and its place.
    """
    file = config_file or find_config_file()
    document = parse(read(file), file) if file else None
    told = document.value if document else {}
    try:
        filled = Schema(SCHEMA).complete(told)
    except ValidationFailed as refused:
        raise refusal(file, document, refused.errors) from refused
    config = _complete(filled, file, document)
    if wrong := limits.findings(config["limits"]):
        raise refusal(file, document, wrong)
    return config


def extend_with_default(validator_class: "type[Validator]") -> "type[Validator]":
    """A validator of the same draft that mixes the schema's defaults into the documents it validates, in place."""
    from lmaps.model.schema import full  # noqa: PLC0415 (clients do not pay for it)

    return full.extend_with_default(validator_class)


def _complete(filled: dict[str, Any], file: str | None, document: "yamlio.Document | None") -> Config:
    """``filled`` with paths made absolute and with what depends on user and place."""
    base = directory(file)
    paths = default_paths(os.getuid(), os.environ)
    rpc = filled["rpc"]
    bind = rpc.get("manager_bind", f"ipc://{paths.manager_socket}")
    worker = rpc.get("worker_bind", f"ipc://{paths.worker_socket}")
    dirs = filled.get("unit_dirs")
    return {
        "file": file,
        "uid": os.getuid(),
        "document": document,
        "rpc": {
            "manager_bind": [absolute_uri(uri, base) for uri in (bind if isinstance(bind, list) else [bind])],
            "worker_bind": absolute_uri(worker, base),
            "server_key": absolute(rpc["server_key"], base),
            "authorized_keys": absolute(rpc["authorized_keys"], base),
            "timeout": seconds(rpc["timeout"]),
        },
        "workers": filled["workers"],
        "db": absolute(filled.get("db", paths.db), base),
        "state_key": absolute(filled["state_key"], base) if "state_key" in filled else None,
        "policy": absolute(filled["policy"], base) if "policy" in filled else default_policy(os.getuid()),
        "user": filled.get("user"),
        "group": filled.get("group"),
        "units": filled["units"],
        "unit_dirs": _default_unit_dirs(base) if dirs is None else [absolute(name, base) for name in dirs],
        "plugin_dirs": [absolute(name, base) for name in filled["plugin_dirs"]],
        "limits": limits.complete(filled["limits"]),
        "log": filled["log"],
    }


def _default_unit_dirs(base: str) -> list[str]:
    """Those that are there: ``units.d`` beside the configuration, and the system's or the user's."""
    own = Path("/etc/lmaps/units") if os.getuid() == 0 else Path("~/.config/lmaps/units").expanduser()
    return [str(path) for path in (Path(base) / "units.d", own) if path.is_dir()]
