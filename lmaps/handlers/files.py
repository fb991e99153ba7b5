"""Files that handlers run or read on behalf of a unit."""

import os
from pathlib import Path

from lmaps.errors import Finding
from lmaps.util.ownership import foreign_hand


def file_faults(path: Path, what: str, at: tuple[str | int, ...]) -> list[Finding]:
    """What is wrong with a file that a unit names ``at`` a place: it is not there, or somebody else may write it."""
    fault = foreign_hand(path, os.getuid()) if path.is_file() else f"there is no {what} {path}"
    return [Finding(fault, at)] if fault else []
