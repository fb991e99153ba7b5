"""Ending what jobs have left running that no worker saw to the end.

``JOBS/SLOT/JOB`` is there while a worker runs the job: it removes the folder when the tool has ended and nothing that
has to be ended is left. So a folder that is there tells of a job that was cut off. What a finished job started on
purpose has no folder, and is spared.
"""

import logging
import shutil
from pathlib import Path

from lmaps.process import sweep_tag
from lmaps.supervisor.locks import make_directory
from lmaps.util.text import plural

log = logging.getLogger(__name__)


def sweep_slots(jobs: Path) -> None:
    """End the tools of every job that was cut off, whichever slot it ran in."""
    make_directory(jobs)
    for slot in jobs.iterdir():
        sweep_slot(slot)


def sweep_slot(slot: Path) -> None:
    """End the tools of the jobs that were cut off in this slot, and remove what lies in their folders."""
    for folder in slot.iterdir() if slot.is_dir() else ():
        killed = sweep_tag(folder)
        if killed:
            log.warning("job %s was cut off: %s killed", folder.name, plural(killed, "process", "processes"))
        shutil.rmtree(folder, ignore_errors=True)
