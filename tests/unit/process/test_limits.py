import os
import resource
import subprocess
from pathlib import Path

import pytest

from lmaps.process.limits import OOM_SCORE, ordinary_limits

LOOK = "cat /proc/self/oom_score_adj; ulimit -Sc; ulimit -Sn; cut -d' ' -f19 /proc/self/stat"


def look() -> list[int]:
    """OOM score, size of core files, descriptors and niceness of a program that is started now."""
    return [int(word) for word in subprocess.run(["sh", "-c", LOOK], capture_output=True, check=True).stdout.split()]


def test_a_program_stands_as_ordinary_programs_do_and_we_as_before() -> None:
    before = (Path("/proc/self/oom_score_adj").read_text(), resource.getrlimit(resource.RLIMIT_NOFILE))
    with ordinary_limits():
        score, core, files, _ = look()
    assert (score, core) == (max(OOM_SCORE, int(before[0])), 0)
    assert files <= 1024
    assert (Path("/proc/self/oom_score_adj").read_text(), resource.getrlimit(resource.RLIMIT_NOFILE)) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root may be less nice again")
def test_the_niceness_of_a_daemon_is_not_a_programs() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, 7)
    try:
        with ordinary_limits():
            assert look()[3] == 0
        assert os.getpriority(os.PRIO_PROCESS, 0) == 7
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
