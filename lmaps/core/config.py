"""``lmaps.core.config``: finding and reading ``lmaps.yaml``; the functions live in `lmaps.config`."""

from lmaps.config import extend_with_default, find_config_file, load_config

__all__ = ["extend_with_default", "find_config_file", "load_config"]
