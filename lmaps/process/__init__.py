"""Execute: the only room that starts programs, and the one that sees to it that nothing of them is left.

program   Program: what to run
output    numbered lines out of pipes, bounded
limits    what a program does not inherit from a daemon
launch    starting it plainly
warm      WarmStarts: starting it by forking off a helper that has it loaded
forker    what such a helper does; runs in another interpreter
process   Process: a running program, driven by its owner's loop
sweep     finding and ending what a program left behind
"""

from lmaps.process.output import Line
from lmaps.process.process import GRACE, Outcome, Process
from lmaps.process.program import EVENT_FD, JOB_TAG, Program, Warm, call
from lmaps.process.sweep import descendants, reap_orphans, set_subreaper, sweep_descendants, sweep_tag, tagged
from lmaps.process.warm import WarmStarts

__all__ = [
    "EVENT_FD",
    "GRACE",
    "JOB_TAG",
    "Line",
    "Outcome",
    "Process",
    "Program",
    "Warm",
    "WarmStarts",
    "call",
    "descendants",
    "reap_orphans",
    "set_subreaper",
    "sweep_descendants",
    "sweep_tag",
    "tagged",
]
