"""Reading the policy file: a list of lines with the keys of `FORM`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lmaps.errors import ConfigError, DocumentRefused, Finding
from lmaps.model.policy import RIGHTS, Line, Policy, built_in_lines, resolve_subject
from lmaps.model.schema import Schema
from lmaps.util import yamlio
from lmaps.util.jsonio import JsonObject
from lmaps.util.ownership import check_owned


def _list_of(item: JsonObject, description: str) -> JsonObject:
    return {"type": "array", "items": item, "minItems": 1, "description": description}


FORM = Schema(
    {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["subjects", "rights", "units"],
            "additionalProperties": False,
            "properties": {
                "subjects": _list_of(
                    {"type": "string", "pattern": r"^(uid|gid|key):\S+$"},
                    "To whom the line applies: uid:N or uid:USER, gid:N or gid:GROUP, key:FINGERPRINT.",
                ),
                "rights": _list_of(
                    {"enum": [*RIGHTS, "all", "none"]},
                    f"The rights that the line grants: {', '.join(RIGHTS)}; or all, or none.",
                ),
                "units": _list_of(
                    {"type": "string", "pattern": r"^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,63}$"},
                    "Names of units; * stands for any characters, ? for one.",
                ),
            },
        },
    }
)
"""The schema of a policy file after `_with_lists`."""


class _Row(NamedTuple):
    """A line as it stands in the file, of the form `FORM`."""

    subjects: list[str]
    rights: list[str]
    units: list[str]


def load_policy(file: str | None, owner: int) -> Policy:
    """Return the policy in ``file``, or the built-in lines alone; ``owner`` is the uid that started the daemon.

    Raises `ConfigError` with every fault and its place, or if somebody besides root and the owner may write the file.
    """
    if file is None:
        return Policy(built_in_lines(owner))
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the policy {file}: {error.strerror}") from error
    check_owned(file, owner, "the policy")
    return Policy([*parse_policy(text, file), *built_in_lines(owner)])


def parse_policy(text: str | bytes, file: str) -> list[Line]:
    """Return the lines in the text of a policy file; raise `ConfigError` with every fault and its place."""
    try:
        documents = yamlio.load(text, file=file, events=yamlio.UNIT_EVENTS)
    except DocumentRefused as refused:
        raise ConfigError(f"cannot use the policy {file}", errors=refused.errors) from refused
    if len(documents) > 1:
        raise ConfigError(f"cannot use the policy {file}: it holds {len(documents)} documents, one is expected")
    if not documents:
        return []
    document = documents[0]
    lines = _with_lists(document.value)
    faults = FORM.findings(lines)
    rows = [] if faults else [_Row(**line) for line in lines]
    faults = faults or list(_faults(rows))
    if faults:
        raise ConfigError(f"cannot use the policy {file}", errors=document.locate_all(faults))
    # located in one pass: each line alone would parse the whole text again
    places = document.locate_all(Finding("", (number,)) for number in range(len(rows)))
    return [
        _line(row, number, f"{file}:{place.line}") for number, (row, place) in enumerate(zip(rows, places, strict=True))
    ]


def _with_lists(document: object) -> Any:
    """Return the lines with each single word replaced by a list of it: ``units: web`` means ``units: [web]``."""
    if not isinstance(document, list):
        return document
    return [
        {name: [value] if isinstance(value, str) else value for name, value in row.items()}
        if isinstance(row, dict)
        else row
        for row in document
    ]


def _faults(rows: Sequence[_Row]) -> Iterator[Finding]:
    """Yield the errors that `FORM` cannot express: unknown users and groups, `all` or `none` beside other rights."""
    for number, row in enumerate(rows):
        for place, subject in enumerate(row.subjects):
            try:
                resolve_subject(subject)
            except KeyError:
                kind = "user" if subject.startswith("uid:") else "group"
                message = f"this host has no {kind} {subject[4:]!r}"
                yield Finding(message, (number, "subjects", place), got=subject)
        exclusive = {"all", "none"}.intersection(row.rights)
        if exclusive and len(row.rights) > 1:
            yield Finding(f"{min(exclusive)} cannot be combined with other rights", (number, "rights"), got=row.rights)


def _line(row: _Row, number: int, place: str) -> Line:
    rights = frozenset(RIGHTS if "all" in row.rights else (right for right in RIGHTS if right in row.rights))
    subjects = frozenset(map(resolve_subject, row.subjects))
    return Line(subjects, rights, tuple(row.units), number, place, tuple(row.subjects))
