"""The configuration: where ``lmaps.yaml`` is found, what may stand in it, what holds where it says nothing.

The daemon reads the whole of it (`load_config`), the command line only what a client needs (`client_settings`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from lmaps.core import limits
from lmaps.core.times import DURATION, parse_duration
from lmaps.errors import ConfigError, DocumentRefused, Finding, UsageError, ValidationFailed

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from lmaps.core import strict_yaml

DIRECTORIES = (".", "~", "~/.config", "/etc", "/etc/lmaps")
NAMES = ("lmaps.yaml", ".lmaps", ".lmaps.yaml")
SYSTEM_POLICY = "/etc/lmaps/policy.yaml"
SYSTEM_ENDPOINT = "ipc:///run/lmaps/manager.sock"
CLIENT_KEY, SERVER_PUBLIC_KEY = "~/.config/lmaps/client.key", "~/.config/lmaps/server.pub"

_PATHS = {"type": "array", "items": {"type": "string", "minLength": 1}}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "rpc": {
            "type": "object",
            "default": {},
            "additionalProperties": False,
            "description": "How the daemon is reached.",
            "properties": {
                "manager_bind": {
                    "type": ["string", "array"],
                    "items": {"type": "string"},
                    "minItems": 1,
                    "description": "URI, or list of URIs, at which clients are served.",
                },
                "worker_bind": {"type": "string", "description": "URI at which the manager's workers are served."},
                "server_key": {
                    "type": "string",
                    "minLength": 1,
                    "default": "server.key",
                    "description": "The daemon's secret key, mode 0600, for endpoints at tcp.",
                },
                "authorized_keys": {
                    "type": "string",
                    "minLength": 1,
                    "default": "authorized_keys.d",
                    "description": "Directory of the public keys, *.pub, of the clients that may connect over tcp.",
                },
                "client_key": {
                    "type": "string",
                    "minLength": 1,
                    "default": CLIENT_KEY,
                    "description": "A client's secret key, mode 0600, for an endpoint at tcp.",
                },
                "server_public_key": {
                    "type": "string",
                    "minLength": 1,
                    "default": SERVER_PUBLIC_KEY,
                    "description": "The public key that the daemon at tcp has to have, for clients.",
                },
                "timeout": DURATION | {"default": "30s", "description": "How long a client waits for an answer."},
            },
        },
        "workers": {
            "type": "integer",
            "minimum": 1,
            "maximum": 256,
            "default": 2,
            "description": "Worker processes: so many jobs run side by side.",
        },
        "db": {"type": "string", "minLength": 1, "description": "The database file."},
        "state_key": {
            "type": "string",
            "minLength": 1,
            "description": "File of mode 0600 with a key, 32 bytes in base64: secrets are sealed in the database.",
        },
        "user": {
            "type": "string",
            "minLength": 1,
            "description": "Whom root's manager becomes: lmaps, if the host has that user; root: it stays root.",
        },
        "group": {
            "type": "string",
            "minLength": 1,
            "description": "Group whose members may connect to root's daemon: lmaps, if the manager is not root.",
        },
        "policy": {
            "type": "string",
            "minLength": 1,
            "description": "File that says who may do what; for root /etc/lmaps/policy.yaml if it is there.",
        },
        "units": {
            "type": "array",
            "items": {"type": "object"},
            "default": [],
            "description": "Units that stand in the configuration itself.",
        },
        "unit_dirs": _PATHS | {"description": "Directories of unit files."},
        "plugin_dirs": _PATHS | {"default": [], "description": "Directories of handlers of your own."},
        "limits": limits.SCHEMA,
        "log": {
            "type": "object",
            "default": {},
            "additionalProperties": False,
            "description": "The daemon's log, on its standard error.",
            "properties": {
                "level": {
                    "enum": ["debug", "info", "warning", "error"],
                    "default": "info",
                    "description": "The least urgent that is logged.",
                },
                "format": {
                    "enum": ["text", "json"],
                    "default": "text",
                    "description": "Text for people, or a JSON object a line.",
                },
            },
        },
    },
}
"""The configuration's JSON Schema. Keys without a default here depend on user and place: `default_paths`."""


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
    document: "strict_yaml.Document | None"
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


class Paths(NamedTuple):
    """Where state and sockets lie unless the configuration says otherwise."""

    db: str
    manager_socket: str
    worker_socket: str


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a client takes from the configuration; None where it says nothing. ``timeout`` in seconds."""

    endpoint: str | None = None
    timeout: float | None = None
    client_key: str | None = None
    server_public_key: str | None = None


def find_config_file() -> str | None:
    """The configuration that holds here: the first of `NAMES` in the first of `DIRECTORIES` that has one, else None."""
    for directory in DIRECTORIES:
        for name in NAMES:
            path = Path(directory).expanduser() / name
            if os.access(path, os.F_OK) and path.is_file():
                return str(path.absolute())
    return None


def default_paths(uid: int, environ: Mapping[str, str]) -> Paths:
    """Root's lie in /var/lib and /run, everybody else's where the XDG directories are."""
    if uid == 0:
        return Paths("/var/lib/lmaps/lmaps.db", "/run/lmaps/manager.sock", "/run/lmaps/internal.sock")
    home = Path(environ.get("HOME", "~")).expanduser()
    state = Path(environ.get("XDG_STATE_HOME") or home / ".local/state") / "lmaps"
    run = Path(environ["XDG_RUNTIME_DIR"]) / "lmaps" if environ.get("XDG_RUNTIME_DIR") else state
    return Paths(str(state / "lmaps.db"), str(run / "manager.sock"), str(run / "internal.sock"))


def default_policy(uid: int) -> str | None:
    """Root's policy, if it is there."""
    return SYSTEM_POLICY if uid == 0 and Path(SYSTEM_POLICY).exists() else None


def default_endpoint(uid: int, environ: Mapping[str, str]) -> str:
    """This user's own daemon if its socket is there, else the system's."""
    own = default_paths(uid, environ).manager_socket
    return f"ipc://{own}" if Path(own).exists() else SYSTEM_ENDPOINT


def load_config(config_file: str | None = None) -> Config:
    """The configuration in ``config_file``, checked, every key filled.

    Without a file `find_config_file` looks for one; if there is none every key has its default. Raises `ConfigError`
    with every finding and its place.
    """
    from lmaps.core.schema import Schema  # noqa: PLC0415 (clients do not pay for it)

    file = config_file or find_config_file()
    document = _read(file) if file else None
    told = document.value if document else {}
    try:
        filled = Schema(SCHEMA).complete(told)
    except ValidationFailed as refused:
        raise _refusal(file, document, refused.errors) from refused
    config = _complete(filled, file, document)
    if wrong := limits.findings(config["limits"]):
        raise _refusal(file, document, wrong)
    return config


def extend_with_default(validator_class: "type[Validator]") -> "type[Validator]":
    """A validator of the same draft that mixes the schema's defaults into the documents it validates, in place."""
    from lmaps.core.schema import whole  # noqa: PLC0415 (clients do not pay for it)

    return whole.extend_with_default(validator_class)


def client_settings(config_file: str | None) -> ClientSettings:
    """What a client needs from the configuration; the rest of it is not looked at."""
    document = _read(config_file) if config_file else None
    rpc = document.value.get("rpc") if document and isinstance(document.value, dict) else None
    if document is None or not isinstance(rpc, dict):
        return ClientSettings()
    base = _directory(document.file)
    files = (rpc.get("client_key"), rpc.get("server_public_key"))
    keys = [_absolute(name, base) if isinstance(name, str) else None for name in files]
    timeout = rpc.get("timeout")
    try:
        seconds = None if timeout is None else _seconds(timeout)
        return ClientSettings(_nearest(rpc.get("manager_bind"), base), seconds, *keys)
    except UsageError as error:
        raise _refusal(config_file, document, [_bad_timeout(timeout)]) from error


def _nearest(bind: Any, base: Path) -> str | None:
    """The endpoint for clients on this host: the first one that is a unix socket, else the first."""
    uris = [uri for uri in (bind if isinstance(bind, list) else [bind]) if isinstance(uri, str)]
    local = [uri for uri in uris if uri.startswith("ipc://")]
    return next((_absolute_uri(uri, base) for uri in (*local, *uris)), None)


def _read(file: str) -> "strict_yaml.Document | None":
    """The one document in ``file``; None if it is empty."""
    from lmaps.core import strict_yaml  # noqa: PLC0415 (a client without a configuration does without)

    try:
        documents = strict_yaml.load(Path(file).read_bytes(), file=file, events=strict_yaml.UNIT_EVENTS, aliases=True)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {file}: {error.strerror}") from error
    except DocumentRefused as refused:
        raise _refusal(file, None, refused.errors) from refused
    if len(documents) > 1:
        raise ConfigError(f"cannot use {file}: it holds {len(documents)} documents, one is expected")
    return documents[0] if documents else None


def _refusal(
    file: str | None, document: "strict_yaml.Document | None", errors: "tuple[Finding, ...] | list[Finding]"
) -> ConfigError:
    told = [_with_cure(document.locate(finding) if document else finding) for finding in errors]
    return ConfigError(f"cannot use the configuration {file}", errors=told)


def _with_cure(finding: Finding) -> Finding:
    """The shipped example of the original had ``timeout: 5*60``: say what to write."""
    if finding.at != ("rpc", "timeout"):
        return finding
    cured = _bad_timeout(finding.got)
    return finding._replace(message=cured.message, hint=cured.hint)


def _bad_timeout(got: Any) -> Finding:
    text = f"{got!r} is no duration: write it with its unit, 5m for five minutes or 30s (a bare integer is seconds)"
    return Finding(text, ("rpc", "timeout"), got=got, hint="5m")


def _complete(filled: dict[str, Any], file: str | None, document: "strict_yaml.Document | None") -> Config:
    """``filled`` with paths made absolute and with what depends on user and place."""
    base = _directory(file)
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
            "manager_bind": [_absolute_uri(uri, base) for uri in (bind if isinstance(bind, list) else [bind])],
            "worker_bind": _absolute_uri(worker, base),
            "server_key": _absolute(rpc["server_key"], base),
            "authorized_keys": _absolute(rpc["authorized_keys"], base),
            "timeout": _seconds(rpc["timeout"]),
        },
        "workers": filled["workers"],
        "db": str(base / Path(filled.get("db", paths.db)).expanduser()),
        "state_key": _absolute(filled["state_key"], base) if "state_key" in filled else None,
        "policy": _absolute(filled["policy"], base) if "policy" in filled else default_policy(os.getuid()),
        "user": filled.get("user"),
        "group": filled.get("group"),
        "units": filled["units"],
        "unit_dirs": _default_unit_dirs(base) if dirs is None else [_absolute(name, base) for name in dirs],
        "plugin_dirs": [_absolute(name, base) for name in filled["plugin_dirs"]],
        "limits": limits.complete(filled["limits"]),
        "log": filled["log"],
    }


def _directory(file: str | None) -> Path:
    """What relative paths count from."""
    return Path(file).absolute().parent if file else Path.cwd()


def _default_unit_dirs(base: Path) -> list[str]:
    """Those that are there: ``units.d`` beside the configuration, and the system's or the user's."""
    own = Path("/etc/lmaps/units") if os.getuid() == 0 else Path("~/.config/lmaps/units").expanduser()
    return [str(path) for path in (base / "units.d", own) if path.is_dir()]


def _absolute(name: str, base: Path) -> str:
    return str(base / Path(name).expanduser())


def _absolute_uri(uri: str, base: Path) -> str:
    """``ipc://`` URIs with a relative path count from the configuration, too."""
    scheme, _, path = uri.partition("://")
    return f"ipc://{_absolute(path, base)}" if scheme == "ipc" and path else uri


def _seconds(told: Any) -> float:
    if isinstance(told, int) and not isinstance(told, bool) and told > 0:
        return float(told)
    if isinstance(told, str):
        return parse_duration(told)
    raise UsageError(f"cannot read the duration {told!r}")
