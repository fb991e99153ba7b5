"""Print the proportional memory of an idle daemon's processes: ``python -m bench.memory [ROUNDS]``.

Each round starts a daemon with four workers on an empty state; printed is the median, with the least and the most.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from bench.processes import Tree


def main(rounds: int) -> None:
    """Measure, and print a line for the supervisor, the manager, a worker and all of them."""
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        tree = Tree(Path(name))
        samples = [tree.memory_by_role() for _ in range(rounds)]
    for role in samples[0]:
        mib = [sample[role] for sample in samples]
        print(f"{role:12}{statistics.median(mib):6.2f} MiB ({min(mib):.2f} to {max(mib):.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
