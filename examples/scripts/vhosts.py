"""Write a file per virtual host below ~/vhosts, and remove those that are no longer asked for.

Reads the state from standard input. Exit code 10 means that something was changed.
"""

import json
import sys
from pathlib import Path

DIRECTORY = Path.home() / "vhosts"
TEMPLATE = """\
server {{
    listen {port}{tls};
    server_name {host};
    root {root};
}}
"""


def main() -> None:
    """Make the directory what the state says."""
    vhosts = json.load(sys.stdin)["vhosts"]
    DIRECTORY.mkdir(exist_ok=True)
    wanted = {f"{host}.conf": _text(vhost) for host, vhost in vhosts.items()}
    changed = [_write(DIRECTORY / name, text) for name, text in wanted.items()]
    changed += [_remove(path) for path in DIRECTORY.glob("*.conf") if path.name not in wanted]
    sys.exit(10 if any(changed) else 0)


def _text(vhost: dict[str, object]) -> str:
    return TEMPLATE.format(**vhost | {"tls": " ssl" if vhost["tls"] else ""})


def _write(path: Path, text: str) -> bool:
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    print(f"wrote {path}")
    return True


def _remove(path: Path) -> bool:
    path.unlink()
    print(f"removed {path}")
    return True


if __name__ == "__main__":
    main()
