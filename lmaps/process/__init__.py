"""The only room that starts programs, and that sees to it that nothing of them is left running.

program   Program: what to run
output    numbered lines out of pipes, bounded
limits    limits and niceness that a program does not inherit from the daemon
launch    starts a program plainly
warm      ForkServers: starts a Python program by forking a process that has it loaded
forker    that process; runs in the program's own interpreter and imports nothing of lMaPS
process   Process: a running program, driven by its owner's loop
sweep     finds and kills what a program left behind
"""

from lmaps.process.output import Line
from lmaps.process.process import STOP_GRACE_S, Outcome, Process
from lmaps.process.program import EVENT_FD, JOB_TAG, Program, WarmStart, run_command
from lmaps.process.sweep import (
    descendants,
    reap_orphans,
    set_subreaper,
    sweep_descendants,
    sweep_tag,
    tagged_processes,
)
from lmaps.process.warm import ForkServers

__all__ = [
    "EVENT_FD",
    "JOB_TAG",
    "STOP_GRACE_S",
    "ForkServers",
    "Line",
    "Outcome",
    "Process",
    "Program",
    "WarmStart",
    "descendants",
    "reap_orphans",
    "run_command",
    "set_subreaper",
    "sweep_descendants",
    "sweep_tag",
    "tagged_processes",
]
