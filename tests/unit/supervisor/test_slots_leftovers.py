import subprocess
from pathlib import Path

import pytest

from lmaps.process import JOB_TAG
from lmaps.supervisor.slots import sweep_slot, sweep_slots


def detached(folder: Path) -> "subprocess.Popen[bytes]":
    """A program that has left its session, marked as of the job in ``folder``."""
    return subprocess.Popen(
        ["sleep", "60"], env={JOB_TAG: str(folder), "PATH": "/bin:/usr/bin"}, start_new_session=True
    )


@pytest.fixture
def jobs(tmp_path):
    (tmp_path / "jobs" / "1" / "7").mkdir(parents=True)
    (tmp_path / "jobs" / "1" / "7" / "vars.yaml").write_text("secret: x")
    return tmp_path / "jobs"


def test_what_a_cut_off_job_left_is_ended_and_its_folder_removed(jobs):
    with detached(jobs / "1" / "7") as tool:
        sweep_slot(jobs / "1")
        assert tool.wait(5) == -9
    assert not (jobs / "1" / "7").exists()


def test_what_a_finished_job_started_is_spared(jobs):
    with detached(jobs / "1" / "6") as service, detached(jobs / "1" / "77") as other:
        sweep_slots(jobs)
        assert (service.poll(), other.poll()) == (None, None)
        service.kill()
        other.kill()


def test_every_slot_is_swept_at_a_start(jobs):
    (jobs / "2" / "8").mkdir(parents=True)
    with detached(jobs / "1" / "7") as one, detached(jobs / "2" / "8") as two:
        sweep_slots(jobs)
        assert (one.wait(5), two.wait(5)) == (-9, -9)


def test_a_slot_that_never_ran_a_job_needs_no_sweep(tmp_path):
    sweep_slot(tmp_path / "jobs" / "3")
    sweep_slots(tmp_path / "jobs")
    assert (tmp_path / "jobs").is_dir()
