"""The supervisor, `lmapsd`: forks one manager and the workers, watches them, replaces what dies, and ends them.

command     the command line of lmapsd
check       lmapsd --check
supervisor  Daemon: one loop that converges to the wanted children, and the steps of the stop
roles       what the children are: the composition of each
rights      what root hands over, and gives up
slots       what is to be filled, and when
children    the fork, and the first acts of a child
backoff     when what died is started again
leftovers   ending what cut off jobs have left running
locks       one daemon per state and socket
signals     signals as bytes in a pipe
report      words for people
systemd     what systemd hears
"""

from lmaps.core.daemon.command import start
from lmaps.core.daemon.supervisor import Daemon

__all__ = ["Daemon", "start"]
