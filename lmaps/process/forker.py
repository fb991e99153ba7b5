"""A fork server: runs in a program's own interpreter, has the program loaded, and forks a child for each run.

``python forker.py PROGRAM PREPARATION CHANNEL PADDING``, started by `lmaps.process.warm` only. It imports nothing of
lMaPS: the program's interpreter may be another one, and each import costs memory in every run.

PREPARATION is a Python file that imports what the program will need. It defines ``renew(changed)``, which gives a
child anew what must not be shared; ``changed`` are the environment variables that differ in its run. It may define
``READ``: files that were read when it was imported. When a file changes that was loaded or read, the fork server ends.
CHANNEL is the descriptor of a socket: each message is an order for a run, as JSON, with its descriptors.
PADDING is there, as an argument and in the environment, to make room for a child's own in /proc.
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

MAX_ORDER_BYTES = 256 * 1024
MAX_FDS = 16
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Load the program, report that it is loaded, and fork at every order; in a child: run the program."""
    program, preparation_file = sys.argv[1:3]
    channel = socket.socket(fileno=int(sys.argv[3]))
    os.environ.pop("PADDING", None)
    os.environ.update(dict(os.environ))  # copies: the originals lie in the memory that _show overwrites
    _show([f"lmapsd: warm {os.path.basename(program)}"], os.environ)
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(program))  # as when Python runs the program itself
    preparation = _load(preparation_file)
    modified = _loaded_files(program, preparation_file, *getattr(preparation, "READ", ()))
    sys.stdout.flush()  # text left in a buffer would be printed by every child
    gc.collect()
    gc.freeze()  # else a collection in a child would write to, and so copy, every page that it shares
    channel.send(b"{}")
    while True:
        message, fds, _, _ = socket.recv_fds(channel, MAX_ORDER_BYTES, MAX_FDS)
        if not message:
            return
        changed = [path for path, time in _modification_times(modified).items() if modified[path] != time]
        if changed:
            print(f"{changed[0]} has changed", file=sys.stderr)  # before the channel ends: the owner reads it then
            return
        order = json.loads(message)
        pid = _fork(order)
        if pid == 0:
            channel.close()
            preparation.renew(_become(order, fds))
            _run(program)
            return
        for fd in fds:
            os.close(fd)
        channel.send(json.dumps({"pid": pid}).encode())


def _load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("preparation", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _loaded_files(*read: str) -> dict[str, int]:
    """Return the files that were loaded or read and the folders that were searched, with their modification times."""
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return _modification_times({path for path in (*read, *modules, *sys.path) if path})


def _modification_times(paths: Any) -> dict[str, int]:
    return {path: os.stat(path).st_mtime_ns if os.path.exists(path) else 0 for path in paths}


def _fork(order: dict[str, Any]) -> int:
    """Fork twice and return the grandchild's pid, 0 in the grandchild.

    The process in between ends, so that the kernel hands the grandchild to the worker, a sub-reaper, to be waited for.
    It shows the run's environment in /proc before it forks: from its first moment the sweep finds the job's tag.
    """
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        pid = -1
        try:
            _show(order["shown"], order["environment"])
            pid = os.fork()
            if pid != 0:
                os.write(writing, str(pid).encode())
        finally:
            if pid != 0:
                os._exit(0)
    os.close(writing)
    pid_text = os.read(reading, 32) if between else b"0"
    os.close(reading)
    if between:
        os.waitpid(between, 0)
    return int(pid_text)


def _become(order: dict[str, Any], fds: list[int]) -> set[str]:
    """Be as if started by the worker: with the run's descriptors, environment, folder and session.

    Returns the names of the environment variables that differ from the fork server's. The first descriptor says when
    to begin: by a byte; if it ends without one the run is not wanted any more, and this process ends.
    """
    # Moved above all target numbers first: dup2 onto one that is still to be copied would lose it.
    begin, *received = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(order["fds"]) + 1) for fd in fds)
    for fd in fds:
        os.close(fd)
    for fd, number in zip(received, order["fds"], strict=True):
        os.dup2(fd, number)
        os.close(fd)
    if not os.read(begin, 1):
        os._exit(0)
    os.close(begin)
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != order["parent"]:  # the worker died before the line above, which then signals nothing
        os._exit(0)
    os.chdir(order["cwd"])
    environment = order["environment"]
    changed = {name for name in {*os.environ, *environment} if os.environ.get(name) != environment.get(name)}
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = order["argv"]
    return changed


def _run(program: str) -> None:
    """Run the program to its end, with the exit code that a plain start has.

    A program that exits with a code ends here, by `os._exit`: the interpreter would take apart all modules of the fork
    server first, which copies their pages. What it does before that is done by hand: threads are waited for, exit
    functions called, files flushed.
    """
    code = 0
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    threading._shutdown()  # type: ignore[attr-defined]  # Python's own end calls it, under no public name
    atexit._run_exitfuncs()  # likewise
    for value in gc.get_objects():
        if isinstance(value, (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)) and not value.closed:
            with contextlib.suppress(OSError):
                value.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def _show(argv: list[str], environment: Any) -> None:
    """Overwrite the command line and environment that /proc shows of this process, as far as there is room."""
    with open("/proc/self/stat") as file:
        # Fields 48 to 51, counted after the name in brackets: start and end of the arguments, of the environment.
        bounds = [int(number) for number in file.read().rpartition(")")[2].split()[45:49]]
    entries = [f"{name}={value}" for name, value in environment.items()]
    for (first, last), texts in ((bounds[:2], argv), (bounds[2:], entries)):
        block = b"".join(os.fsencode(text) + b"\0" for text in texts)[: last - first]
        ctypes.memmove(first, block.ljust(last - first, b"\0"), last - first)


if __name__ == "__main__":
    main()
