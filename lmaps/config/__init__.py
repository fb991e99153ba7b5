"""The configuration: where ``lmaps.yaml`` is found, what may stand in it, what holds where it says nothing.

places     where it is looked for, and where sockets and files lie unless it says otherwise
values     what its values mean: paths, URIs, durations
client     what a client takes from it
schema     what may stand in it
document   its text, and how findings in it are told
whole      all of it, as the daemon reads it

The daemon reads the whole of it (`load_config`), the command line only what a client needs (`client_settings`), and
loads no more for that.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lmaps.config.client import ClientSettings, client_settings
from lmaps.config.paths import (
    CLIENT_KEY,
    DIRECTORIES,
    NAMES,
    SERVER_PUBLIC_KEY,
    SYSTEM_ENDPOINT,
    default_endpoint,
    default_paths,
    default_policy,
    find_config_file,
)

if TYPE_CHECKING:
    from lmaps.config.load import Config, Log, extend_with_default, load_config
    from lmaps.config.schema import SCHEMA

__all__ = [
    "CLIENT_KEY",
    "DIRECTORIES",
    "NAMES",
    "SCHEMA",
    "SERVER_PUBLIC_KEY",
    "SYSTEM_ENDPOINT",
    "ClientSettings",
    "Config",
    "Log",
    "client_settings",
    "default_endpoint",
    "default_paths",
    "default_policy",
    "extend_with_default",
    "find_config_file",
    "load_config",
]


def __getattr__(name: str) -> Any:
    """What the daemon needs, when it is first asked for."""
    if name in __all__:
        return getattr(import_module("lmaps.config.load"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
