"""Arguments as classes: their schema, and the instances made of requests."""

from typing import Annotated, Any, Literal

import pytest

from lmaps.api.arguments import Documents, Reader, Text, UnitName, argument, arguments
from lmaps.model.schema.dataclasses import Keywords


@arguments
class Part:
    name: Text
    value: Any


@arguments
class Base:
    message: Text | None = None


@arguments
class Everything(Base):
    unit: UnitName
    from_: Text | None = argument(default=None, doc="Where it begins.")
    limit: Annotated[int, Keywords(minimum=1)] = 20
    mode: Literal["merge", "skip"] = "merge"
    documents: Documents = argument(default=[])
    parts: Annotated[list[Part], Keywords(minItems=1)]
    part: Part | None = None


READER = Reader(Everything)


def test_the_schema_has_types_keywords_and_defaults() -> None:
    part = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 4096}, "value": {}},
        "required": ["name", "value"],
        "additionalProperties": False,
    }
    assert READER.definition == {
        "type": "object",
        "properties": {
            "unit": {"type": "string", "minLength": 1, "maxLength": 64},
            "from": {"type": "string", "maxLength": 4096},
            "limit": {"type": "integer", "minimum": 1, "default": 20},
            "mode": {"enum": ["merge", "skip"], "default": "merge"},
            "documents": {"type": "array", "writeOnly": True, "default": []},
            "parts": {"type": "array", "minItems": 1, "items": part},
            "part": part,
            "message": {"type": "string", "maxLength": 4096},
        },
        "required": ["unit", "parts"],
        "additionalProperties": False,
    }


def test_what_a_class_inherits_comes_last() -> None:
    assert list(READER.definition["properties"])[-1] == "message"
    assert [row.name for row in READER.rows()][-1] == "part"


def test_the_reference_has_a_text_of_the_field_or_its_type() -> None:
    unit, begin, limit = READER.rows()[:3]
    assert (unit.name, unit.is_required, unit.doc) == ("unit", True, "The unit.")
    assert (begin.name, begin.is_required, begin.doc) == ("from", False, "Where it begins.")
    assert limit.schema == {"type": "integer", "minimum": 1, "default": 20}


def test_an_instance_has_the_defaults_and_objects_as_classes() -> None:
    made = READER.read({"unit": "web", "parts": [{"name": "a", "value": {"b": None}}], "from": "r1", "limit": 2.0})
    assert (made.unit, made.from_, made.mode, made.documents, made.message) == ("web", "r1", "merge", [], None)
    assert made.limit == 2 and isinstance(made.limit, int)
    assert [(part.name, part.value) for part in made.parts] == [("a", {"b": None})]


def test_a_default_belongs_to_one_instance_alone() -> None:
    first, second = (READER.read({"unit": "web", "parts": []}) for _ in range(2))
    assert first.documents is not second.documents


def test_an_instance_is_frozen() -> None:
    with pytest.raises(AttributeError):
        READER.read({"unit": "web", "parts": []}).unit = "other"
