"""YAML of plain values, written and read much faster than PyYAML does, and with exactly the same outcome.

What is not certain to come out the same is left to `strict_yaml`, which takes a command 12 ms to load.
"""

from lmaps.util.fast_yaml.reading import read
from lmaps.util.fast_yaml.writing import dump, items

__all__ = ["dump", "items", "read"]
