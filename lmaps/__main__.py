"""``python -m lmaps``: the command line."""

from lmaps.cli.app import start

start()
