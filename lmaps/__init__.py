"""lMaPS: one typed, reversible way to ask a host for configuration.

from lmaps import Client
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmaps.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    """`Client`, imported when it is first asked for: the command line does not pay for it before it asks a daemon."""
    if name == "Client":
        return import_module("lmaps.client").Client
    raise AttributeError(f"module 'lmaps' has no attribute {name!r}")
