"""How long undo and looking back take as the history grows: ``python -m bench.history [CHANGESETS...]``.

For each length a state with so many changesets of one unit is made, a daemon is started on it, and each request is
timed in it, round trip and commit included. Interleaved rounds; the median in milliseconds.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.ours import UNIT, daemon
from lmaps import Client
from lmaps.model.states import ChangesetKind
from lmaps.model.units import unit_from_definition
from lmaps.store import Document, Edit, Origin, open_store
from lmaps.util import jsonio

LENGTHS = (1_000, 10_000, 100_000)
INSTANCES = 500
ROUNDS = 31
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "rollback": ("rollback", {}),
    "redo": ("redo", {}),
    "history --limit 20": ("history", {"limit": 20}),
    "show one ID": ("show", {"ids": ["h7.example.org"]}),
    "diff @~1 @": ("diff", {"from": "@~1", "to": "@"}),
    "show one ID --at @~1": ("show", {"ids": ["h7.example.org"], "at": "@~1"}),
    "blame one ID": ("blame", {"ids": ["h7.example.org"]}),
    "revert of the newest, dry run": ("revert", {"dry_run": True}),
}


def fill(path: Path, changesets: int) -> None:
    """Make a state with so many changesets: some creations, then changes of one instance after the other."""
    unit = unit_from_definition(UNIT)
    with open_store(str(path)) as store:
        for start in range(0, changesets, 1000):
            with store.transaction() as tx:
                number = tx.instances.definition("web", unit.digest, jsonio.encode(unit.definition))
                for revision in range(start, min(start + 1000, changesets)):
                    key = f"h{revision % INSTANCES}.example.org"
                    given = {"host": key, "port": revision % 60_000 + 1}
                    document = Document(key, json.dumps(given), json.dumps(unit.complete(given)), number)
                    there = tx.instances.find("web", [key]).get(key)
                    edit = Edit.of(there, document) if there else Edit(None, document)
                    tx.changesets.record(
                        "web", ChangesetKind.SET if there else ChangesetKind.CREATE, Origin("me", message="why"), [edit]
                    )


def measure(client: Client, changesets: int) -> dict[str, float]:
    """The median of each request's time [ms]."""
    took: dict[str, list[float]] = {name: [] for name in REQUESTS}
    for _ in range(ROUNDS):
        for name, (verb, args) in REQUESTS.items():
            told = {"unit": "web"} | args | ({"revision": f"r{changesets}"} if verb == "revert" else {})
            begin = time.perf_counter()
            client.call(verb, **told)
            took[name].append((time.perf_counter() - begin) * 1000)
    return {name: statistics.median(values) for name, values in took.items()}


def main() -> None:
    """Measure, and print the curve."""
    lengths = [int(each) for each in sys.argv[1:]] or LENGTHS
    curve = []
    for changesets in lengths:
        with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
            fill(Path(name) / "lmaps.db", changesets)
            with daemon(Path(name)) as client:
                curve.append(measure(client, changesets))
    print("".join(f"{length:>12,}" for length in lengths) + f"  changesets [ms, median of {ROUNDS}]")
    for request in REQUESTS:
        print("".join(f"{told[request]:>12.2f}" for told in curve) + f"  {request}")


if __name__ == "__main__":
    main()
