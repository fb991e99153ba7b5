"""What may stand in the configuration, and what holds where it says nothing."""

from typing import Any

from lmaps.config import limits
from lmaps.config.paths import CLIENT_KEY, SERVER_PUBLIC_KEY
from lmaps.util.times import DURATION

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
