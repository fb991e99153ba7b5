#!/usr/bin/env python3
"""Trace one create in the manager: the calls into lmaps/, the files entered, the returns to a file left before.

The manager is the daemon's own, started in this process; a client asks it through the socket. Traced is one turn of
the manager's loop after twenty like it: from the end of the wait that the request ends to the wait after the answer.
Calls are those of named functions, not of comprehensions and lambdas. With --calls each is printed, indented by depth.

    .venv/bin/python scripts/trace_create.py [--calls]
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import lmaps
from bench.ours import UNIT
from lmaps import Client
from lmaps.config.load import load_config
from lmaps.manager import Manager

PACKAGE = str(Path(lmaps.__file__).parent) + "/"
IDLE_AFTER_S = 0.3
"""The manager's turn is over, and it waits, this long after an answer."""


class Event(NamedTuple):
    """A call of a function of lmaps/, or its return."""

    is_call: bool
    file: str
    function: str


class Recorder:
    """Records the calls that ``sys.setprofile`` reports."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, frame: FrameType, kind: str, _argument: object) -> None:
        """Record a call or return of a named function of lmaps/."""
        code = frame.f_code
        if kind in ("call", "return") and code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<"):
            file = code.co_filename.removeprefix(PACKAGE)
            self.events.append(Event(kind == "call", file, code.co_qualname))


def ask(endpoint: str, recorder: Recorder) -> list[Event]:
    """Create twenty instances and one more; return what was recorded for that one, and end the manager."""
    idle = threading.Event()
    try:
        with Client(endpoint) as client:
            for number in range(21):
                if number == 20:
                    idle.wait(IDLE_AFTER_S)
                    recorder.events.clear()
                client.call("create", unit="web", instances=[{"host": f"h{number}.example.org", "owner": "me"}])
            idle.wait(IDLE_AFTER_S)
            return list(recorder.events)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def trace(directory: Path) -> list[Event]:
    """Run a manager and return the events of one create."""
    rpc = {"manager_bind": "ipc://m.sock", "worker_bind": "ipc://w.sock"}
    (directory / "lmaps.yaml").write_text(json.dumps({"rpc": rpc, "db": "lmaps.db", "units": [UNIT]}))
    config = load_config(str(directory / "lmaps.yaml"))
    manager, recorder = Manager(config.rpc.worker_bind, config, "boot"), Recorder()
    with ThreadPoolExecutor(1) as pool:
        events = pool.submit(ask, config.rpc.manager_bind[0], recorder)
        sys.setprofile(recorder)
        manager.start()
        sys.setprofile(None)
        return events.result()


def returns(files: list[str]) -> int:
    """Count the calls into another file than that of the call before, one that was entered earlier."""
    pairs = enumerate(pairwise(files), 1)
    return sum(file != before and file in files[:place] for place, (before, file) in pairs)


def main() -> None:
    """Trace, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", action="store_true", help="print each call, indented by its depth")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as directory:
        events = trace(Path(directory))
    depth, files = 0, list[str]()
    for event in events:
        if event.is_call:
            files.append(event.file)
            if options.calls:
                print(f"{'  ' * depth}{event.file} {event.function}")
        depth = max(0, depth + (1 if event.is_call else -1))
    print(f"calls {len(files)}, files {len(set(files))}, returns {returns(files)}")


if __name__ == "__main__":
    main()
