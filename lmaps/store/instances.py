"""The tables ``instance`` and ``unit``: what is there now, and the texts of units that it was made under."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, bindparam, case, delete, func, or_, select

from lmaps.store.checksums import check
from lmaps.store.models import document, instance, unit
from lmaps.store.prepared import Prepared
from lmaps.store.records import Document, Instance
from lmaps.store.sealing import PREFIX
from lmaps.store.tables import Tables

BATCH = 500
"""Keys that one statement looks up."""

DOCUMENT = ("id", "instance_id", "key", "given", "completed", "definition", "checksum")
"""What is read of a document."""
_INSTANCES = (
    select(
        instance.c.id,
        instance.c.unit,
        instance.c.first_revision,
        instance.c.revision,
        instance.c.key,
        instance.c.document,
        instance.c.checksum,
        *(document.c[name].label(f"document_{name}") for name in DOCUMENT),
    )
    .join(document, document.c.id == instance.c.document)
    .order_by(instance.c.id)
)
_INSTANCE = Prepared(_INSTANCES.where(instance.c.unit == bindparam("unit"), instance.c.key == bindparam("key")))
_DELETE = Prepared(delete(instance).where(instance.c.id == bindparam("gone")))
_OTHERS = Prepared(select(unit.c.id).where(unit.c.name == bindparam("name"), unit.c.digest != bindparam("digest")))
_DEFINITION = Prepared(select(unit.c.id).where(unit.c.name == bindparam("name"), unit.c.digest == bindparam("digest")))


class InstanceTables(Tables):
    """Instances of units, their documents, and definitions of units."""

    def instances(self, name: str) -> list[Instance]:
        """All instances of a unit, oldest first."""
        return self._instances(_INSTANCES.where(instance.c.unit == name))

    def find(self, name: str, keys: Sequence[str]) -> dict[str, Instance]:
        """Those instances of a unit that have one of ``keys``."""
        return {key: self._instance(*row) for key in keys for row in self.rows(_INSTANCE, unit=name, key=key)}

    def find_begun(self, name: str, beginning: str) -> list[Instance]:
        """Those instances of a unit whose key begins so."""
        begun = instance.c.key.startswith(beginning, autoescape=True)
        return self._instances(_INSTANCES.where(instance.c.unit == name, begun))

    def numbered(self, name: str, ids: Sequence[int]) -> dict[int, Instance]:
        """Those instances of a unit that have one of these numbers."""
        wanted = _INSTANCES.where(instance.c.unit == name)
        batches = (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
        return {each.id: each for batch in batches for each in self._instances(wanted.where(instance.c.id.in_(batch)))}

    def with_value(self, name: str, keys: Sequence[str], values: Sequence[Any]) -> list[Instance]:
        """Those instances of a unit whose completed document has one of ``values`` below ``keys``.

        SQL takes true for 1 and 1 for 1.0: so an instance may be among them whose value is only alike. If SQL cannot
        compare one of the values, all instances are.
        """
        if not all(map(_is_comparable, values)):
            return self.instances(name)
        path = "$" + "".join(f'."{key}"' for key in keys)
        found: list[Instance] = []
        for start in range(0, len(values), BATCH):
            sealed = document.c.completed.startswith(PREFIX)
            extracted = case((sealed, None), else_=func.json_extract(document.c.completed, path))
            alike = or_(sealed, extracted.in_(values[start : start + BATCH]))
            found += self._instances(_INSTANCES.where(instance.c.unit == name, alike))
        return found

    def count(self, name: str) -> int:
        """How many instances a unit has."""
        return self.connection.scalar(select(func.count()).where(instance.c.unit == name)) or 0

    def outdated(self, name: str, digest: str) -> list[Instance]:
        """The instances that were completed under another text of the unit than the one with this digest."""
        others = [number for (number,) in self.rows(_OTHERS, name=name, digest=digest)]
        if not others:
            return []
        return self._instances(_INSTANCES.where(instance.c.unit == name, document.c.definition.in_(others)))

    def definition(self, name: str, digest: str, text: str) -> int:
        """The number of this text of the unit, kept if it is new."""
        known = self.known_definitions.get((name, digest))
        if known is not None:
            return known
        found = self.value(_DEFINITION, name=name, digest=digest)
        if found is None:
            self.insert(unit, {"name": name, "digest": digest, "definition": text})
            found = self.value(_DEFINITION, name=name, digest=digest)
        self.known_definitions[name, digest] = int(found or 0)
        return int(found or 0)

    def definitions(self, name: str) -> dict[int, str]:
        """Every text of the unit that changes were made under, by its number."""
        rows = self.connection.execute(select(unit.c.id, unit.c.definition).where(unit.c.name == name))
        return {row.id: row.definition for row in rows}

    def restore_definition(self, name: str, number: int, digest: str, text: str) -> None:
        """Take over a text of a unit as it is, with its number."""
        self.insert(unit, {"id": number, "name": name, "digest": digest, "definition": text})

    def definition_text(self, name: str) -> str | None:
        """The newest text of the unit that changes were made under."""
        newest = select(unit.c.definition).where(unit.c.name == name).order_by(unit.c.id.desc()).limit(1)
        return self.connection.scalar(newest)

    def add(self, rows: Sequence[Instance]) -> None:
        """Add new instances, whose documents are kept."""
        told = [
            {
                "id": row.id,
                "unit": row.unit,
                "key": row.key,
                "document": row.document.id,
                "first_revision": row.first_revision,
                "revision": row.revision,
            }
            for row in rows
        ]
        if told:
            self.insert(instance, *told)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove the instances with these numbers, as far as they are there."""
        if ids:
            self.write_each(_DELETE, [{"gone": gone} for gone in ids])

    def _instances(self, wanted: Select[Any]) -> list[Instance]:
        return [self._instance(*row) for row in self.connection.execute(wanted)]

    def _instance(
        self, number: int, name: str, first: int, revision: int, key: str, kept: int, expected: int, *told: Any
    ) -> Instance:
        check("instance", (number, name, key, kept, first, revision), expected)
        return Instance(number, name, self.read_document(number, *told), first, revision)

    def read_document(self, of: int, number: int, instance: int, *told: Any) -> Document:
        """A document of the instance ``of``, as it was given to be kept; ``told`` are the other columns."""
        key, given, completed, made_under, expected = told
        check("document", (number, instance, key, given, completed, made_under), expected)
        place = f"{of}/{number}"
        return Document(
            key,
            self.sealer.open(given, f"{place}/given"),
            self.sealer.open(completed, f"{place}/completed"),
            made_under,
            number,
        )

    def document_row(self, instance: int, one: Document) -> dict[str, Any]:
        """A document as it is kept."""
        texts = {"given": one.given, "completed": one.completed}
        if one.secret:
            texts = {name: self.sealer.seal(text, f"{instance}/{one.id}/{name}") for name, text in texts.items()}
        return {"id": one.id, "instance_id": instance, "key": one.key, "definition": one.definition, **texts}


def _is_comparable(value: Any) -> bool:
    """Whether SQL has this value: no array, no object, no integer of more than 64 bits, no text with a NUL."""
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, float) or (isinstance(value, str) and "\0" not in value)
