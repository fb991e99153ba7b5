"""``template``: renders a file from the state, checks it, moves it into place, and runs a reload command."""

import contextlib
import difflib
import os
import stat
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmaps.errors import Finding, HandlerFailed
from lmaps.handlers.base import State, UnitHandler, file_findings
from lmaps.model.units import Unit
from lmaps.process import run_command
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    import jinja2
    from jinja2 import sandbox
else:
    # An extra: the other handlers work without it, and this one reports that it is missing.
    jinja2, sandbox = LazyModule("jinja2"), LazyModule("jinja2.sandbox")

_ARGV = {"type": "array", "items": {"type": "string"}, "minItems": 1}


class TemplateHandler(UnitHandler):
    """Renders a Jinja2 template of the state to a file; restores the old file when its check or reload fails."""

    type = "template"
    preview = "full"
    args_schema = {  # noqa: RUF012 (a constant of the contract)
        "type": "object",
        "required": ["src", "dest"],
        "additionalProperties": False,
        "properties": {
            "src": {"type": "string", "description": "The template; counts from the unit file."},
            "dest": {"type": "string", "description": "The file; counts from the unit file, or is absolute."},
            "mode": {"type": "string", "pattern": "^0[0-7]{3}$", "default": "0644", "description": "Its mode."},
            "check_cmd": _ARGV | {"description": "Checks the new file, {file}; if it fails the old file is kept."},
            "reload_cmd": _ARGV
            | {"description": "Loads the new file; if it fails the old file is put back, and loaded."},
        },
    }

    def apply(self, state: State, folder: Path) -> bool:
        """Render aside, check, rename into place, reload; return whether the file has changed."""
        new, old = self._render(state), self._old()
        if new == old:
            print(f"unchanged: {self._dest}")
            return False
        with self._staged(new) as staged:
            self._check(staged)
            staged.replace(self._dest)
        print(f"written: {self._dest}")
        self._reload(old)
        return True

    def show(self, state: State, folder: Path) -> bool:
        """Print how the file would differ; return whether it would."""
        new, old = self._render(state), self._old()
        before, after = ((text or b"").decode(errors="replace").splitlines() for text in (old, new))
        for line in difflib.unified_diff(before, after, str(self._dest), str(self._dest), lineterm=""):
            print(line)
        return new != old

    @property
    def _dest(self) -> Path:
        return self.unit.directory / str(self.unit.args["dest"])

    def _old(self) -> bytes | None:
        try:
            return self._dest.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HandlerFailed(f"cannot read {self._dest}: {error.strerror}") from error

    def _render(self, state: State) -> bytes:
        """Return the rendered file. Clients' values are data: a template in them is not rendered.

        The environment is a sandbox, so that the unit's template cannot reach Python's internals through a value.
        """
        source = self.unit.directory / str(self.unit.args["src"])
        try:
            environment = sandbox.ImmutableSandboxedEnvironment(
                loader=jinja2.FileSystemLoader(source.parent),
                undefined=jinja2.StrictUndefined,
                keep_trailing_newline=True,
                trim_blocks=True,
                lstrip_blocks=True,
                autoescape=False,
            )
        except ImportError as error:
            raise HandlerFailed("cannot render: Jinja2 is not installed; pip install 'lmaps[template]'") from error
        try:
            text = environment.get_template(source.name).render(unit=self.unit.name, state=state.document)
        except Exception as error:  # a template does with values what it likes, and a client chooses their types
            raise HandlerFailed(f"cannot render {source}{_place(error, source)}: {error}") from error
        return text.encode()

    @contextlib.contextmanager
    def _staged(self, text: bytes) -> Iterator[Path]:
        """Write ``text`` to a file beside the old one and to the disk; yield it, and remove it unless it was moved.

        Beside it, since a rename is atomic only within a file system; with mode 0600 until its content is complete.
        """
        staged = self._dest.with_name(f".{self._dest.name}.lmaps")
        try:
            staged.unlink(missing_ok=True)
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), int(self.unit.args.get("mode", "0644"), 8))
                os.fsync(file.fileno())
        except OSError as error:
            raise HandlerFailed(f"cannot write {staged}: {error.strerror}") from error
        try:
            yield staged
        finally:
            staged.unlink(missing_ok=True)

    def _check(self, staged: Path) -> None:
        rc = self._run("check_cmd", staged)
        if rc:
            raise HandlerFailed(
                f"cannot use the new {self._dest}: its check ended with exit code {rc}; the old one stays"
            )

    def _reload(self, old: bytes | None) -> None:
        """Run the reload command; if it fails put the old file back, run it again, and raise `HandlerFailed`."""
        rc = self._run("reload_cmd", self._dest)
        if not rc:
            return
        if old is None:
            self._dest.unlink()
        else:
            mode = stat.S_IMODE(self._dest.stat().st_mode)
            with self._staged(old) as staged:
                staged.chmod(mode)
                staged.replace(self._dest)
        second_rc = self._run("reload_cmd", self._dest)
        restored = f"the old one is back, and its reload ended with exit code {second_rc}"
        raise HandlerFailed(f"cannot use the new {self._dest}: its reload ended with exit code {rc}; {restored}")

    def _run(self, name: str, file: Path) -> int:
        argv: Sequence[str] | None = self.unit.args.get(name)
        if argv is None:
            return 0
        program = str(self.unit.directory / argv[0]) if "/" in argv[0] else argv[0]
        return run_command([program, *(str(file) if word == "{file}" else word for word in argv[1:])])

    @classmethod
    def check(cls, unit: Unit) -> list[Finding]:
        """Return a finding if the template is missing."""
        source = unit.directory / str(unit.args.get("src", ""))
        findings = file_findings(source, "template", ("handler", "args", "src"))
        return [unit.locate(finding) for finding in findings]


def _place(error: Exception, source: Path) -> str:
    """Return ``:LINE`` of the template that an error is about, empty if it is not known."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f":{error.lineno}"
    steps = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in steps if frame.f_code.co_filename == str(source)]
    return f":{lines[-1]}" if lines else ""
