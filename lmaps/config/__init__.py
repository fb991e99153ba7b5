"""The configuration: where ``lmaps.yaml`` is found, what may stand in it, what holds where it says nothing.

paths      where it is looked for, and where sockets and files lie unless it says otherwise
client     the few settings that a client needs, read quickly
settings   every setting: type, default, description; `SCHEMA` and `Config` are made from them
limits     the size limits of requests
document   its text, and the places of findings in it
load       `load_config`: all of it, as the daemon needs it
policy     `load_policy`: the policy file

The command line imports `paths` and `client` alone: the other modules would double the time that it takes to start.
"""

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

__all__ = [
    "CLIENT_KEY",
    "DIRECTORIES",
    "NAMES",
    "SERVER_PUBLIC_KEY",
    "SYSTEM_ENDPOINT",
    "ClientSettings",
    "client_settings",
    "default_endpoint",
    "default_paths",
    "default_policy",
    "find_config_file",
]
