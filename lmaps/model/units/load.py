"""All units of a configuration: those in the file itself, then the files of the unit directories."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lmaps.errors import DocumentRefused, Finding, NotFound, UnitRefused
from lmaps.model.diff import Path as DocumentPath
from lmaps.model.diff import pointer
from lmaps.model.schema import drafts, slow_patterns, unknown_keywords
from lmaps.model.schema.secrets import is_secret
from lmaps.model.units.explain import property_rows
from lmaps.model.units.parse import parse_unit
from lmaps.model.units.unit import Unit
from lmaps.util import yamlio
from lmaps.util.jsonio import JsonObject
from lmaps.util.ownership import ownership_fault
from lmaps.util.text import nearest

SUFFIXES = (".yaml", ".yml", ".json")


class UnitSettings(Protocol):
    """The settings that say where units are; `lmaps.config.settings.Config` has them."""

    @property
    def document(self) -> yamlio.Document | None:
        """The text of the configuration, which contains `units`."""

    @property
    def units(self) -> list[JsonObject]:
        """The units in the configuration itself."""

    @property
    def unit_dirs(self) -> list[str]:
        """Directories of unit files."""

    @property
    def uid(self) -> int:
        """The user who may write unit files, besides root."""


@dataclass(frozen=True)
class UnitSet:
    """The usable units in the order in which they were read, the errors of the others, and warnings."""

    units: dict[str, Unit] = field(default_factory=dict)
    errors: tuple[UnitRefused, ...] = ()
    warnings: tuple[Finding, ...] = ()


def load_units(settings: UnitSettings) -> UnitSet:
    """Return every unit of a configuration.

    An invalid unit is refused without the others, and so is the second of two with one name. A file that anybody but
    root and the daemon's user may write is refused too: it names programs that run as root.
    """
    return _collect(_parsed(settings))


def load_units_from(texts: Iterable[tuple[str, str | bytes]]) -> UnitSet:
    """Return the units in ``texts`` of unit files, each with the name of its file."""
    return _collect(unit for file, text in texts for unit in _parse_text(file, text))


def _parsed(settings: UnitSettings) -> Iterator[Unit | UnitRefused]:
    document = settings.document
    if document is not None:
        for index in range(len(settings.units)):
            yield _parse_or_refuse(document, ("units", index))
    for path in _unit_files(settings.unit_dirs):
        if isinstance(path, UnitRefused):
            yield path
            continue
        try:
            text = path.read_bytes()
        except OSError as error:
            finding = Finding(f"cannot be read: {error.strerror}", file=str(path))
            yield UnitRefused(f"cannot use {path}", errors=[finding])
            continue
        # Whoever writes a unit file chooses the program that its jobs run as root.
        fault = ownership_fault(path, settings.uid)
        if fault is None:
            yield from _parse_text(str(path), text)
        else:
            yield UnitRefused(f"cannot use {path}", errors=[Finding(fault, file=str(path))])


def _parse_text(file: str, text: str | bytes) -> Iterator[Unit | UnitRefused]:
    try:
        documents = yamlio.load(text, file=file, events=yamlio.UNIT_EVENTS, aliases=True)
    except DocumentRefused as refused:
        yield UnitRefused(f"cannot use {file}", errors=refused.errors)
    else:
        yield from map(_parse_or_refuse, documents)


def _parse_or_refuse(document: yamlio.Document, at: tuple[str | int, ...] = ()) -> Unit | UnitRefused:
    """Return the unit, or the error: a generator that raised it could not go on to the next unit."""
    try:
        return parse_unit(document, at)
    except UnitRefused as refused:
        return refused


def _unit_files(directories: Iterable[str]) -> Iterator[Path | UnitRefused]:
    """Yield the unit files of each directory, sorted by name."""
    for directory in directories:
        try:
            paths = sorted(path for path in Path(directory).iterdir() if path.suffix in SUFFIXES and path.is_file())
        except OSError as error:
            finding = Finding(f"cannot be read: {error.strerror}", file=directory)
            yield UnitRefused(f"cannot use the unit directory {directory}", errors=[finding])
            continue
        yield from paths


def _collect(parsed: Iterable[Unit | UnitRefused]) -> UnitSet:
    units: dict[str, Unit] = {}
    errors: list[UnitRefused] = []
    for unit in parsed:
        if isinstance(unit, UnitRefused):
            errors.append(unit)
        elif unit.name in units:
            errors.append(_duplicate(unit, units[unit.name]))
        else:
            units[unit.name] = unit
    warnings = tuple(finding for unit in units.values() for finding in _warnings(unit))
    return UnitSet(units, tuple(errors), warnings)


def _duplicate(unit: Unit, first: Unit) -> UnitRefused:
    place = first.locate(Finding("", ("meta", "name"))).place
    finding = unit.locate(Finding(f"the unit {unit.name} is given twice; first at {place}", ("meta", "name")))
    return UnitRefused(f"cannot use the unit {unit.name} in {unit.file}", errors=[finding], extra={"unit": None})


def _warnings(unit: Unit) -> Iterator[Finding]:
    for finding in (*unknown_keywords(unit.params), *slow_patterns(unit.params)):
        yield unit.locate(finding._replace(at=unit.params_at + finding.at))
    for at, schema in drafts.walk(unit.params):
        if is_secret(schema) and "default" in schema:
            text = "this default is not secret, although the value is: explain shows it with the unit's text"
            yield unit.locate(Finding(text, (*unit.params_at, *at, "default")))
    for index, path in enumerate(unit.unique):
        if _may_compare_secrets(unit, path):
            text = f"unique compares secrets at {pointer(path)}: it takes the right reveal to create or set an instance"
            yield unit.locate(Finding(text, ("meta", "unique", index)))


def _may_compare_secrets(unit: Unit, path: DocumentPath) -> bool:
    """Return whether ``unique`` at ``path`` compares secrets, as far as the schema tells without a document."""
    names = tuple(map(str, path))
    below = ".".join(names) + "."
    return any(map(unit.secrets.may_mark, (path, names))) or (  # a part of digits may be an index or a key
        unit.secrets.any
        and any(row.secret and row.path.replace("[]", "").startswith(below) for row in property_rows(unit))
    )


def get_unit_by_name(name: str, settings: UnitSettings) -> Unit:
    """Return the unit of this name; raise `NotFound` with the nearest name if there is none."""
    units = load_units(settings).units
    if name not in units:
        near = nearest(name, units)
        raise NotFound(f"cannot find the unit {name!r}" + (f"; did you mean {near}?" if near else ""))
    return units[name]
