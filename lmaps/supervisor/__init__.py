"""The supervisor of `lmapsd`: forks one manager and the workers, watches them, replaces those that die, and ends them.

supervisor  Daemon: one loop that converges to the wanted children, and the steps of the shutdown
roles       the entry function of each kind of child
privileges  the files that root hands over to the manager's user, and the rights that the manager gives up
slots       the place of each child, and the delay before it is filled again
children    the fork, and the first acts of a child
locks       one daemon per state and socket
report      messages on standard error
systemd     notifications to systemd
"""
