"""The files for systemd: systemd takes them, and what they name is there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from lmaps.cli import app
from lmaps.cli.lmapsd import command
from lmaps.supervisor.supervisor import FINAL_EXIT_CODES, MANAGER_STOP_S, WORKERS_STOP_S
from lmaps.util.times import parse_duration
from tests.daemons import BIN
from tests.robustness.conftest import cannot

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging" / "systemd" / "lmapsd.service"
USERS = ROOT / "packaging" / "sysusers.d" / "lmaps.conf"
DIRECTORIES = ROOT / "packaging" / "tmpfiles.d" / "lmaps.conf"


def verified(tool: str, *args: str | Path) -> str:
    """What a tool of systemd has to say against its input."""
    if shutil.which(tool) is None:
        cannot(f"there is no {tool}")
    done = subprocess.run([tool, *args], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def settings() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))


def installed(text: str, directory: Path) -> Path:
    """The unit file as a package would install it, with the programs where they are here."""
    file = directory / UNIT.name
    file.write_text(text.replace("=/usr/bin/", f"={BIN}/"))
    return file


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    assert verified("systemd-analyze", "verify", "--man=no", installed(UNIT.read_text(), tmp_path)) == ""


def test_systemd_would_tell_an_unknown_setting(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("TasksMax=", "TasksMux=")
    assert "TasksMux" in verified("systemd-analyze", "verify", "--man=no", installed(text, tmp_path))


def test_systemd_takes_the_user_and_the_directories(tmp_path: Path) -> None:
    if os.getuid() != 0:
        cannot("only root may give a directory to another user")
    (tmp_path / "etc").mkdir()
    verified("systemd-sysusers", f"--root={tmp_path}", USERS)
    assert "lmaps:" in (tmp_path / "etc" / "passwd").read_text()
    (tmp_path / "run").mkdir()
    verified("systemd-tmpfiles", f"--root={tmp_path}", "--create", DIRECTORIES)
    made = {str(path.relative_to(tmp_path)): f"{path.stat().st_mode & 0o777:04o}" for path in tmp_path.rglob("*lmaps*")}
    assert made == {"run/lmaps": "0750", "var/lib/lmaps": "0700"}
    assert (tmp_path / "run" / "lmaps" / "jobs").stat().st_mode & 0o777 == 0o700


def test_what_the_unit_names_is_there() -> None:
    options = {name for option in command.params for name in option.opts}
    [program, *words] = settings()["ExecStart"].split()
    assert program == "/usr/bin/lmapsd"
    assert {word for word in words if word.startswith("-")} <= options
    [program, verb] = settings()["ExecReload"].split()
    assert (program, verb in app.COMMANDS) == ("/usr/bin/lmaps", True)


def test_the_unit_and_the_daemon_agree() -> None:
    assert {int(code) for code in settings()["RestartPreventExitStatus"].split()} == FINAL_EXIT_CODES
    [grace] = [option.default for option in command.params if option.name == "stop_grace"]
    assert isinstance(grace, str)
    assert float(settings()["TimeoutStopSec"]) > parse_duration(grace) + WORKERS_STOP_S + MANAGER_STOP_S


def test_variables_that_change_what_runs_do_not_reach_it() -> None:
    cleared = set(settings()["UnsetEnvironment"].split())
    python, linker = {"PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT"}, {"LD_PRELOAD", "LD_LIBRARY_PATH"}
    assert cleared == python | linker | {"LMAPS_FAILPOINTS", "ANSIBLE_CONFIG"}


def test_the_docs_name_the_files() -> None:
    text = (ROOT / "docs" / "how-to" / "run-as-a-service.md").read_text()
    for file in (UNIT, USERS, DIRECTORIES):
        assert str(file.relative_to(ROOT)) in text
