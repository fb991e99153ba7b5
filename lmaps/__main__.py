"""``python -m lmaps``: the command line."""

from lmaps.core.shell import start

start()
