"""``lmaps.core.config``: finding and reading ``lmaps.yaml``; the functions live in `lmaps.config` and `lmaps.model`."""

from typing import Any

from lmaps.config import find_config_file, load
from lmaps.model.schema.full import extend_with_default

__all__ = ["extend_with_default", "find_config_file", "load_config"]


def load_config(config_file: str | None = None) -> dict[str, Any]:
    """Return the configuration in a file (default: the one that is found) as a dict, checked, every key filled.

    The classes and functions of `lmaps.core` take such a dict, and the `Config` of `lmaps.config.load` as well.
    """
    return load.load_config(config_file).to_dict()
