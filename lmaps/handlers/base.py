"""The contract of a handler: `UnitHandler` carries the `State` of a unit to the host."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from lmaps.errors import Finding
from lmaps.model.data_types import get_data_type_by_name
from lmaps.model.schema import Secrets
from lmaps.model.units import Unit, unit_from_definition
from lmaps.process import Outcome, Program
from lmaps.util.jsonio import JsonObject
from lmaps.util.ownership import ownership_fault


@dataclass(frozen=True, slots=True)
class State:
    """What a handler brings to the host: all instances of a unit at one revision, oldest first.

    ``given`` are the documents that clients sent, ``completed`` the same with defaults filled in: a value that is only
    in the latter was written by the unit's author. A handler that takes long calls ``beat`` now and then: a worker that
    is silent for 10 s is taken for hung and replaced.

    ``definitions`` has for each instance the number of the unit text that it was completed under, and ``older_texts``
    the older ones of these texts that mark secrets, by number.
    """

    unit: Unit
    revision: int
    given: list[dict[str, Any]]
    completed: list[dict[str, Any]]
    beat: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
    definitions: list[int] = field(default_factory=list)
    older_texts: dict[str, JsonObject] = field(default_factory=dict)

    def pairs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield the given and the completed document of each instance, and call ``beat`` for each."""
        for pair in zip(self.given, self.completed, strict=True):
            self.beat()
            yield pair

    @property
    def document(self) -> Any:
        """The state in the form of the unit's data type."""
        return self._as_data_type(self.completed)

    @property
    def masked(self) -> Any:
        """The same with its secrets masked."""
        pairs = zip(self.completed, self.secrets(), strict=True)
        return self._as_data_type([secrets.masked(document) for document, secrets in pairs])

    def secrets(self) -> list[Secrets]:
        """Return for each instance what is secret of it: what the unit marks, or did when it was completed."""
        today = self.unit.secrets
        if not self.older_texts:
            return [today] * len(self.completed)
        both = {int(number): today | unit_from_definition(text).secrets for number, text in self.older_texts.items()}
        return [both.get(number, today) for number in self.definitions]

    def _as_data_type(self, rows: list[dict[str, Any]]) -> Any:
        data_type = get_data_type_by_name(self.unit.data_type)
        return data_type(rows=rows, store_key=self.unit.store_key, primary_key=self.unit.primary_key).state()


class UnitHandler:
    """The contract of a handler: one class, found by its ``type``.

    Most handlers say what to run (`program`), and lMaPS runs it: output, time limits, stopping and sweeping are the
    same for all. A handler that is pure Python overrides `apply`, and lMaPS runs it in a process of its own; it prints
    its output and raises to fail.

    ``context`` is the `Unit`, and `setup` prepares the handler. Values in a state, and names that the schema does not
    give, come from clients: never use them as code, as a word of a shell command, as a path, or as the name of a
    variable or setting of the tool.
    """

    context: Any = None

    type: ClassVar[str]
    """The name by which unit files call the handler."""
    args_schema: ClassVar[dict[str, Any]] = {"type": "object", "additionalProperties": False}
    """JSON Schema of ``handler.args`` in a unit file, checked when the unit is loaded."""
    preview: ClassVar[str] = "none"
    """How much a plan on the host shows: ``none``, ``partial`` (some changes are unknown) or ``full``."""
    event_words: ClassVar[frozenset[str]] = frozenset({"event"})
    """The names of fields and the kinds (values of ``event``) of the program's events. They are shown although an
    instance may have a secret that is one of these words: a mask in its place would tell so."""

    def __init__(self, **kwargs: Any) -> None:
        self.context = kwargs.get("context")
        self.setup()

    def setup(self) -> None:
        """Prepare the handler; called once, by its constructor."""

    @property
    def unit(self) -> Unit:
        """The unit that is handled."""
        unit: Unit = self.context
        return unit

    def program(self, state: State, folder: Path) -> Program:
        """Return the program that brings the host to ``state``.

        ``folder`` belongs to the job, has mode 0700, and is removed when the job has ended.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither program nor apply")

    def apply(self, state: State, folder: Path) -> bool | None:
        """Bring the host to ``state``, in a process of its own; return whether something changed, None if unknown.

        Overridden by handlers that are pure Python.
        """
        raise NotImplementedError

    def show(self, state: State, folder: Path) -> bool:
        """Print what `apply` would do, and change nothing; return whether it would change something.

        Overridden by handlers that are pure Python and whose ``preview`` is not ``none``.
        """
        raise NotImplementedError

    def plan(self, state: State, folder: Path) -> Program:
        """Return the program that shows what `program` would do, and changes nothing.

        Overridden by handlers that override `program`, and whose ``preview`` is not ``none``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no check mode")

    def summary(self, outcome: Outcome, events: list[dict[str, Any]], program: Program) -> dict[str, int]:
        """Return how many steps were ok, changed, failed and unknown. A program without events counts as one step."""
        failed = outcome.rc not in program.success
        return {
            "ok": int(not failed),
            "changed": int(outcome.rc in program.changed),
            "failed": int(failed),
            "unknown": 0,
        }

    @classmethod
    def check(cls, unit: Unit) -> list[Finding]:
        """Return what is wrong with a unit beyond its form and its args; places count from the unit's top."""
        return []

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """Return the handler as `lmaps handlers` shows it."""
        doc = (cls.__doc__ or "").strip().partition("\n")[0]
        return {"type": cls.type, "doc": doc, "preview": cls.preview, "args_schema": cls.args_schema}

    @classmethod
    def is_pure_python(cls) -> bool:
        """Return whether the handler overrides `apply`, and so defines no program."""
        return cls.apply is not UnitHandler.apply


def file_findings(path: Path, kind: str, at: tuple[str | int, ...]) -> list[Finding]:
    """Return what is wrong with a file that a unit names ``at`` a place: it is missing, or other users may write it.

    ``kind`` is its name in the message, such as "playbook". Whoever can write the file runs code as the daemon's user.
    """
    fault = ownership_fault(path, os.getuid()) if path.is_file() else f"there is no {kind} {path}"
    return [Finding(fault, at)] if fault else []
