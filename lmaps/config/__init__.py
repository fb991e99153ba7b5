"""The configuration: its places, its settings and their defaults.

paths      where the file is found, and the default places of sockets and files
client     the few settings that a client needs, read quickly
settings   every setting: type, default, description; `SCHEMA` and `Config`
limits     the size limits of requests
document   the text of the file, and the errors about it
load       `load_config`: the whole file, as the daemon needs it
policy     `load_policy`: the policy file

The command line imports only `paths` and `client`: the other modules would double its start time.
"""

from lmaps.config.client import ClientSettings, client_settings, find_trusted_file
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
    "find_trusted_file",
]
