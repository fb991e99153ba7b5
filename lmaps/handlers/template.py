"""``template``: a file rendered from the state, checked, moved into its place, and taken in by a reload command."""

import contextlib
import difflib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from lmaps.errors import Finding, HandlerFailed
from lmaps.handlers.base import State, UnitHandler, file_faults
from lmaps.model.units import Unit
from lmaps.process import run_command

_ARGV = {"type": "array", "items": {"type": "string"}, "minItems": 1}


class TemplateHandler(UnitHandler):
    """Renders a Jinja2 template of the state to a file; on a failing check or reload the old file is back."""

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
            "check_cmd": _ARGV | {"description": "Looks the new file over; {file} stands for it. Not 0: keep the old."},
            "reload_cmd": _ARGV
            | {"description": "Takes the new file in. Not 0: the old one is put back, and taken in."},
        },
    }

    def apply(self, state: State, folder: Path) -> bool:
        """Render aside, check, rename into place, reload; whether the file has changed."""
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
        """Print how the file would differ; whether it would."""
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
        """The file: values of clients are data to the template, and nothing in them is a template."""
        try:
            from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError  # noqa: PLC0415 (an extra)
            from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415
        except ImportError as error:
            raise HandlerFailed("cannot render: Jinja2 is not installed; pip install 'lmaps[template]'") from error
        source = self.unit.directory / str(self.unit.args["src"])
        environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(source.parent),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        try:
            text = environment.get_template(source.name).render(unit=self.unit.name, state=state.document)
        except TemplateError as error:
            place = f":{error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
            raise HandlerFailed(f"cannot render {source}{place}: {error}") from error
        return text.encode()

    @contextlib.contextmanager
    def _staged(self, text: bytes) -> Iterator[Path]:
        """The new file beside the old one, durable; gone at the end unless it was moved."""
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
        """Have the new file taken in; if that fails put the old one back, and have that taken in."""
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
        again = self._run("reload_cmd", self._dest)
        back = f"the old one is back, and its reload ended with exit code {again}"
        raise HandlerFailed(f"cannot use the new {self._dest}: its reload ended with exit code {rc}; {back}")

    def _run(self, name: str, file: Path) -> int:
        argv: Sequence[str] | None = self.unit.args.get(name)
        if argv is None:
            return 0
        program = str(self.unit.directory / argv[0]) if "/" in argv[0] else argv[0]
        return run_command([program, *(str(file) if word == "{file}" else word for word in argv[1:])])

    @classmethod
    def check(cls, unit: Unit) -> list[Finding]:
        """The template has to be there."""
        source = unit.directory / str(unit.args.get("src", ""))
        found = file_faults(source, "template", ("handler", "args", "src"))
        return [unit.locate(finding) for finding in found]
