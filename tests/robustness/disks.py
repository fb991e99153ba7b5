"""Disks that fail: file systems of their own to lose power and to be full, and calls that are made to fail."""

import contextlib
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.daemons import until
from tests.robustness.conftest import cannot

EXT4_IOC_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
NO_LOG_FLUSH = 2


class DiskHealth:
    """An ext4 file system in a file, mounted at ``place``, whose power can be cut."""

    def __init__(self, directory: Path) -> None:
        self.image = directory / "disk.img"
        self.place = directory / "disk"
        self.place.mkdir()
        with self.image.open("wb") as image:
            image.truncate(192 * 2**20)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))
        self.mount()

    def mount(self) -> None:
        run("mount", "-o", "loop", str(self.image), str(self.place))

    def unmount(self) -> None:
        """Take the disk out; a thread of a process that was killed may need a moment to close its files."""

        def is_out() -> bool:
            with contextlib.suppress(OSError):
                run("umount", str(self.place))
            return not os.path.ismount(self.place)

        until(is_out)

    def sync(self) -> None:
        """Have everything on the disk that was written until now."""
        run("sync", "-f", str(self.place))

    def cut_power(self) -> None:
        """Nothing more reaches the disk."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


@contextlib.contextmanager
def disk(directory: Path) -> Iterator[DiskHealth]:
    """A disk of its own; the test is skipped where none can be made."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        cannot("a disk that loses power needs root, a loop device and mkfs.ext4")
    try:
        made = DiskHealth(directory)
    except OSError as error:
        cannot(f"no loop device: {error}")
    try:
        yield made
    finally:
        with contextlib.suppress(OSError):
            run("umount", "-l", str(made.place))


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A tmpfs of ``size`` at ``place``; the test is skipped where none can be mounted."""
    if os.geteuid() != 0:
        cannot("a disk that gets full needs root")
    place.mkdir(exist_ok=True)
    try:
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    except OSError as error:
        cannot(f"no tmpfs: {error}")
    try:
        yield place
    finally:
        run("umount", "-l", str(place))


def leave(place: Path, pages: int) -> None:
    """Have room for so many pages more on a small disk."""
    used = os.statvfs(place)
    size = (used.f_blocks - used.f_bfree + pages) * used.f_frsize
    run("mount", "-o", f"remount,size={size}", str(place))


def require_strace() -> None:
    if not shutil.which("strace") or os.geteuid() != 0:
        cannot("calls are made to fail by strace, as root")


@contextlib.contextmanager
def failing(pid: int, *injections: str) -> Iterator[None]:
    """Within the block the process's calls fail as strace is told: ``fdatasync:error=EIO:when=3``."""
    calls = ",".join(each.partition(":")[0] for each in injections)
    options = [option for each in injections for option in ("-e", f"inject={each}")]
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *options, "-p", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: f"TracerPid:\t{tracer.pid}\n" in Path(f"/proc/{pid}/status").read_text())
        yield
    finally:
        tracer.terminate()
        tracer.wait(10)


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
