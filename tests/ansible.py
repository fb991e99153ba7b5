"""An Ansible for tests of warm starts."""

import sysconfig
from pathlib import Path
from venv import EnvBuilder


def install_ansible(venv: Path) -> Path:
    """Ours, without this checkout in its path: whoever writes there makes fork servers load anew. The program."""
    EnvBuilder(symlinks=True).create(venv)
    [packages] = venv.glob("lib/python*/site-packages")
    (packages / "ansible.pth").write_text(sysconfig.get_path("purelib"))
    program = venv / "bin" / "ansible-playbook"
    program.write_text(f"#!{venv}/bin/python\nimport sys\nfrom ansible.cli.playbook import main\nsys.exit(main())\n")
    program.chmod(0o755)
    return program
