"""The helper of a warm start: runs in a program's own interpreter, has it loaded, and forks a child for each run.

``python forker.py PROGRAM PREPARATION LINK ROOM``, started by `lmaps.process.warm` and by nobody else; it imports
nothing of lMaPS. PREPARATION is a Python file: it imports what the program will need, and has ``renew(changed)``, which
gives a child anew what must not be shared; ``changed`` are the variables of the environment that its run has for
itself. It may have ``READ``: files that were read when it was imported. When any file changes that is loaded or was
read the helper ends. LINK is the descriptor of a socket: each message is a run, as JSON, with its descriptors.
ROOM is there in the arguments and in the environment so that a child has room to show its own in /proc.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib.util
import io
import json
import os
import runpy
import signal
import socket
import sys
import threading
from typing import Any

LONGEST = 256 * 1024
"""Bytes of a message."""
MOST_FDS = 16
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Load the program, say so, and fork at every message; in a child: run the program."""
    program, preparation = sys.argv[1:3]
    link = socket.socket(fileno=int(sys.argv[3]))
    os.environ.pop("ROOM", None)
    os.environ.update(dict(os.environ))  # copies, so that nothing refers to what /proc shows
    _show([f"lmapsd: warm {os.path.basename(program)}"], os.environ)
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(program))
    prepared = _load(preparation)
    loaded = _loaded(program, preparation, *getattr(prepared, "READ", ()))
    sys.stdout.flush()
    gc.collect()
    gc.freeze()
    link.send(b"{}")
    while True:
        message, fds, _, _ = socket.recv_fds(link, LONGEST, MOST_FDS)
        if not message:
            return
        changed = [path for path, time in _times(loaded).items() if loaded[path] != time]
        if changed:
            print(f"{changed[0]} has changed", file=sys.stderr)  # before the link ends
            return
        run = json.loads(message)
        pid = _fork(run)
        if pid == 0:
            link.close()
            prepared.renew(_become(run, fds))
            _run(program)
            return
        for fd in fds:
            os.close(fd)
        link.send(json.dumps({"pid": pid}).encode())


def _load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("preparation", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _loaded(*read: str) -> dict[str, int]:
    """The files that were loaded or read and the folders that were searched, with their times."""
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return _times({path for path in (*read, *modules, *sys.path) if path})


def _times(paths: Any) -> dict[str, int]:
    return {path: os.stat(path).st_mtime_ns if os.path.exists(path) else 0 for path in paths}


def _fork(run: dict[str, Any]) -> int:
    """A child that is our parent's to wait for, since the one in between ends; 0 in the child.

    The child is born with the run's environment to be seen in /proc: the job's tag is found on it from the first.
    """
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        pid = -1
        try:
            _show(run["shown"], run["environment"])
            pid = os.fork()
            if pid != 0:
                os.write(writing, str(pid).encode())
        finally:
            if pid != 0:
                os._exit(0)
    os.close(writing)
    told = os.read(reading, 32) if between else b"0"
    os.close(reading)
    if between:
        os.waitpid(between, 0)
    return int(told)


def _become(run: dict[str, Any], fds: list[int]) -> set[str]:
    """Be as if started by the worker: its child, with the run's descriptors, environment, folder and session.

    The first descriptor tells when to begin; if it ends without a byte the run is not wanted any more.
    """
    begin, *given = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(run["fds"]) + 1) for fd in fds)
    for fd in fds:
        os.close(fd)
    for fd, number in zip(given, run["fds"], strict=True):
        os.dup2(fd, number)
        os.close(fd)
    if not os.read(begin, 1):
        os._exit(0)
    os.close(begin)
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != run["parent"]:
        os._exit(0)
    os.chdir(run["cwd"])
    environment = run["environment"]
    changed = {name for name in {*os.environ, *environment} if os.environ.get(name) != environment.get(name)}
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = run["argv"]
    return changed


def _run(program: str) -> None:
    """Run the program to its end. One that exits with a code ends at once, without taking apart what the helper has."""
    code = 0
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does first at its end, and second
    atexit._run_exitfuncs()
    for each in gc.get_objects():
        if isinstance(each, (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)) and not each.closed:
            with contextlib.suppress(OSError):
                each.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def _show(argv: list[str], environment: Any) -> None:
    """Write over what /proc tells as this process's command line and environment, as far as there is room."""
    with open("/proc/self/stat") as file:
        told = [int(number) for number in file.read().rpartition(")")[2].split()[45:49]]
    entries = [f"{name}={value}" for name, value in environment.items()]
    for (first, last), texts in ((told[:2], argv), (told[2:], entries)):
        block = b"".join(os.fsencode(text) + b"\0" for text in texts)[: last - first]
        ctypes.memmove(first, block.ljust(last - first, b"\0"), last - first)


if __name__ == "__main__":
    main()
