"""What values of the configuration mean: paths and URIs."""

import os

from lmaps.errors import ConfigError


def directory(file: str | None) -> str:
    """What relative paths count from: the directory of ``file``, else the current one."""
    return os.path.dirname(normal(os.path.join(os.getcwd(), file))) if file else os.getcwd()


def absolute(name: str, base: str) -> str:
    """The path that ``name`` is below the directory ``base``."""
    return normal(os.path.join(base, expanded(name)))


def absolute_uri(uri: str, base: str) -> str:
    """``ipc://`` URIs with a relative path count from ``base``, too."""
    scheme, _, path = uri.partition("://")
    return f"ipc://{absolute(path, base)}" if scheme == "ipc" and path else uri


def expanded(name: str) -> str:
    """``name`` with the home directory in the place of ``~``; `ConfigError` if nobody has that home."""
    found = os.path.expanduser(normal(name))
    if found.startswith("~"):
        raise ConfigError(f"cannot find {name}: there is no such home directory; write out the path")
    return normal(found)


def normal(path: str) -> str:
    """``path`` as pathlib writes it."""
    root = "/" if path.startswith("/") else ""
    if path.startswith("//") and not path.startswith("///"):
        root = "//"
    return root + "/".join(part for part in path.split("/") if part not in ("", ".")) or "."
