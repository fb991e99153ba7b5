"""``lmaps.core.shell``: the command line, which lives in `lmaps.cli.app`."""

from lmaps.cli.app import get_parser, print_response, start

__all__ = ["get_parser", "print_response", "start"]
