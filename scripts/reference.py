#!/usr/bin/env python3
"""Write docs/reference/ from the code, or with --check say whether it is what is committed."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lmaps import config
from lmaps.api.arguments import Argument, Reader, Run, Write
from lmaps.api.registry import ENDPOINTS
from lmaps.cli import app
from lmaps.cli.lmapsd import command as lmapsd
from lmaps.cli.options import global_options
from lmaps.config.policy import FORM as POLICY
from lmaps.config.settings import SCHEMA
from lmaps.errors import error_tree
from lmaps.handlers import find_handlers
from lmaps.manager import tasks as manager_tasks
from lmaps.model.units.parse import FORM
from lmaps.util.times import DURATION
from lmaps.worker import tasks as worker_tasks

DIRECTORY = Path(__file__).parents[1] / "docs" / "reference"
HEAD = "<!-- Written by scripts/reference.py from the code. -->\n\n"


def usage(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path, max_content_width=100)
    yield f"## {path}\n"
    yield f"```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from usage(command.get_command(context, name), f"{path} {name}")  # type: ignore[arg-type]


def commands() -> Iterator[str]:
    yield "# Commands\n"
    yield "Global options may stand before a command or after it; other options before or after arguments.\n"
    group = app.get_parser()
    context = click.Context(group, info_name="lmaps", max_content_width=100)
    yield f"## lmaps\n\n```\n{group.get_help(context)}\n```\n"
    for name in app.COMMANDS:
        yield from usage(group.get_command(context, name), f"lmaps {name}")  # type: ignore[arg-type]
    aliases = ", ".join(f"`{alias}` is `{name}`" for alias, name in app.ALIASES.items())
    yield f"Aliases: {aliases}. Global options: {', '.join(f'`{o.opts[0]}`' for o in global_options(hidden=False))}.\n"
    yield from usage(lmapsd, "lmapsd")


def keys(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, below in schema.get("properties", {}).items():
        default = f"`{below['default']}`" if "default" in below and below["default"] != {} else ""
        kind = below.get("type") or "one of " + ", ".join(below["enum"])
        kind = "duration" if below.items() >= DURATION.items() else kind
        types = " or ".join(kind) if isinstance(kind, list) else kind
        yield f"| `{prefix}{name}` | {types} | {default} | {below.get('description', '')} |"
        yield from keys(below, f"{prefix}{name}.")


def configuration() -> Iterator[str]:
    yield "# Configuration\n"
    names = ", ".join(f"`{name}`" for name in config.NAMES)
    places = ", ".join(f"`{place}`" for place in config.DIRECTORIES)
    yield f"The first of {names} in the first of {places}; or the file that `--config` or `LMAPS_CONFIG` names."
    yield "A client passes over a file that it finds if others than root and its user may write it, and says so."
    yield "Every key is optional. Relative paths count from the file. Where there is no default it depends on the user:"
    yield "root's state and sockets lie in `/var/lib/lmaps` and `/run/lmaps`, others' in the XDG directories.\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    yield from keys(SCHEMA)
    yield "\n## The policy\n"
    yield "A list of lines with these keys; where there is one word no list is needed.\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    yield from keys(POLICY.definition["items"])
    yield "\n## Unit files\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    yield from keys(FORM.definition)
    yield ""


def verbs() -> Iterator[str]:
    yield "# Verbs\n"
    yield 'A request: `{"v": 1, "verb": ..., "args": {...}, "id": ..., "key": ..., "deadline_ms": ..., "door": ...}`.'
    yield "The answer is `{message, level, extra, id, code, errors, revision, job}`; `level` is the exit code.\n"
    yield "| verb | right | arguments | what it does |\n|---|---|---|---|"
    for name, entry in ENDPOINTS.items():
        args = ", ".join(f"`{arg.name}`" + ("" if arg.is_required else "?") for arg in entry.reader.rows())
        further = "".join(f", {right} for `{arg}`" for arg, right in entry.further_rights.items())
        yield f"| `{name}` | {entry.right}{further} | {args} | {first_line(entry.function)} |"
    yield "\n## Arguments\n"
    for name, entry in ENDPOINTS.items():
        if rows := entry.reader.rows():
            yield from argument_rows(f"`{name}`", rows)
    yield from argument_rows("Of everything that writes, beside its own", Reader(Write).rows())
    yield from argument_rows("`apply`, of those that take it", Reader(Run).rows())
    yield "\n## Errors\n"
    yield "| code | level | lmapsd | meaning |\n|---|---|---|---|"
    for error in error_tree():
        yield f"| `{error.code}` | {error.level} | {error.daemon_level} | {first_line(error)} |"
    yield "\n## Tasks\n"
    yield "Run by name through `Manager.run_task`.\n"
    yield "| task | runs on | what it does |\n|---|---|---|"
    for place, tasks in (("a worker", worker_tasks.TASKS), ("the manager", manager_tasks.TASKS)):
        yield from (f"| `{name}` | {place} | {first_line(task)} |" for name, task in tasks.items())
    yield ""


def argument_rows(title: str, rows: Sequence[Argument]) -> Iterator[str]:
    yield f"### {title}\n"
    yield "| argument | type | default | meaning |\n|---|---|---|---|"
    for row in rows:
        kind = row.schema.get("type") or ("one of " + ", ".join(row.schema["enum"]) if "enum" in row.schema else "any")
        kind = "duration" if row.schema.get("pattern") == DURATION["pattern"] else kind
        shown = " or ".join(kind) if isinstance(kind, list) else kind
        default = "required" if row.is_required else f"`{json.dumps(row.schema.get('default'))}`"
        yield f"| `{row.name}` | {shown} | {'' if default == '`null`' else default} | {row.doc} |"
    yield ""


def handlers() -> Iterator[str]:
    yield "# Handlers\n"
    for name, handler in find_handlers().describe().items():
        yield f"## {name}\n\n{handler['doc']} Preview: {handler['preview']}.\n"
        if handler["args_schema"].get("properties"):
            yield "| argument | type | default | meaning |\n|---|---|---|---|"
            yield from keys(handler["args_schema"])
            yield ""


def first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


PAGES = {"commands.md": commands, "configuration.md": configuration, "verbs.md": verbs, "handlers.md": handlers}


def main() -> None:
    stale = []
    for name, page in PAGES.items():
        text = HEAD + "\n".join(line.rstrip() for line in "\n".join(page()).splitlines()) + "\n"
        path = DIRECTORY / name
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(name)
    if stale:
        sys.exit(f"docs/reference is not what the code says: {', '.join(stale)}; run scripts/reference.py")


if __name__ == "__main__":
    main()
