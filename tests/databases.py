"""Database files behind the store's back."""

import sqlite3
from pathlib import Path
from typing import Any

from lmaps.store.checksums import checksum, covered
from lmaps.store.models import metadata

CHECKED = [table for table in metadata.sorted_tables if "checksum" in table.c]


def rewrite(path: Path, *statements: str) -> None:
    """Run statements as if lMaPS had written what they write: the checksums fit."""
    driver = sqlite3.connect(path)
    driver.create_function("checksum", -1, lambda *values: checksum(values))
    with driver:
        for statement in statements:
            driver.execute(statement)
        for table in CHECKED:
            driver.execute(f"UPDATE {table.name} SET checksum = checksum({', '.join(covered(table))})")  # noqa: S608
    driver.close()


def contents(path: Path) -> dict[str, list[Any]]:
    """Every row of the state, by table."""
    driver = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        rows = {table.name: f"SELECT * FROM {table.name} NOT INDEXED" for table in CHECKED}  # noqa: S608
        return {name: driver.execute(statement).fetchall() for name, statement in rows.items()}
    finally:
        driver.close()
