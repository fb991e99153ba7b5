"""Print what a package manager would be asked for. usage: packages.py STATE.json"""

import json
import sys
from pathlib import Path


def main() -> None:
    """One line a package, those to be removed last."""
    packages = json.loads(Path(sys.argv[1]).read_text())
    for package in sorted(packages, key=lambda package: package["state"] == "absent"):
        verb = "install" if package["state"] == "present" else "remove"
        version = f"={package['version']}" if "version" in package else ""
        print(f"{verb} {package['name']}{version}")


if __name__ == "__main__":
    main()
