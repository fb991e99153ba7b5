"""Every setting of the configuration, described once: its type, its default, its limits and its line in the reference.

`SCHEMA`, which the file is checked against, is made from these classes, and so is docs/reference/configuration.md. The
same classes are what the daemon works with: `Config` has every setting filled, paths absolute, durations in seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, Self, TypeVar, dataclass_transform, get_type_hints

from lmaps.config.paths import CLIENT_KEY, SERVER_PUBLIC_KEY, absolute, absolute_uri
from lmaps.model.schema.dataclasses import Keywords, object_schema, property_name, without_none
from lmaps.protocol import MAX_BYTES
from lmaps.util import yamlio
from lmaps.util.jsonio import JsonObject
from lmaps.util.times import DURATION, seconds

SectionName = Literal["message", "import"]
"""Which size limits hold: those of every message, or those of a subject with the right ``import``."""

_Section = TypeVar("_Section", bound="Section")


class Resolved(Keywords):
    """How the value in the file becomes the final one: ``resolve(value, base)``, with the directory of the file."""

    def __init__(self, resolve: Callable[[Any, str], object], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.resolve = resolve


def _uris(value: str | list[str], base: str) -> list[str]:
    return [absolute_uri(uri, base) for uri in (value if isinstance(value, list) else [value])]


def _directories(value: list[str], base: str) -> list[str]:
    return [absolute(name, base) for name in value]


def _seconds(value: int | str, _base: str) -> float:
    return seconds(value)


Text = Annotated[str, Keywords(minLength=1)]
FilePath = Annotated[str, Resolved(absolute, minLength=1)]
Directories = Annotated[list[Text], Resolved(_directories)]
Uri = Annotated[str, Resolved(absolute_uri)]
Uris = Annotated[list[str], Resolved(_uris, type=["string", "array"], minItems=1)]
Duration = Annotated[float, Resolved(_seconds, **DURATION)]
Count = Annotated[int, Keywords(minimum=1)]


def setting(description: str | None = None, initial: object = None) -> Any:
    """Return the field of a setting; ``initial`` is its default, as it would be written in the file.

    Without a default the setting may be left out, and its value depends on the user and the host.
    """
    keywords = {"default": initial, "description": description}
    schema = {name: value for name, value in keywords.items() if value is not None}
    return field(metadata={"schema": schema, "required": False})


def section(description: str) -> Any:
    """Return the field of a section, whose settings have their own defaults."""
    return setting(description, {})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting, section))
def settings(kind: type[_Section]) -> type[_Section]:
    """Make a frozen dataclass of a section."""
    return dataclass(frozen=True, kw_only=True, slots=True)(kind)


class Section:
    """A part of the configuration."""

    __slots__ = ()

    @classmethod
    def resolved(cls, values: JsonObject, base: str) -> Self:
        """Return the section of ``values`` that fit its schema. Relative paths count from the directory ``base``."""
        return cls._from(values, base)

    @classmethod
    def from_dict(cls, values: JsonObject) -> Self:
        """Return the section of values as `to_dict` returns them; one that is missing is None."""
        return cls._from(values, None)

    @classmethod
    def _from(cls, values: JsonObject, base: str | None) -> Self:
        hints = get_type_hints(cls, include_extras=True)
        names = {part.name: property_name(part) for part in fields(cls)}  # type: ignore[arg-type]  # subclasses are
        return cls(**{name: _value(hints[name], values.get(key), base) for name, key in names.items()})

    def to_dict(self) -> JsonObject:
        """Return the values by the names that they have in the file."""
        values = {property_name(part): getattr(self, part.name) for part in fields(self)}  # type: ignore[arg-type]
        return {name: value.to_dict() if isinstance(value, Section) else value for name, value in values.items()}


def _value(hint: object, value: Any, base: str | None) -> Any:
    hint = without_none(hint)
    if value is None:
        return None
    if isinstance(hint, type) and issubclass(hint, Section):
        return hint._from(value, base)
    if base is not None:
        for note in getattr(hint, "__metadata__", ()):
            if isinstance(note, Resolved):
                return note.resolve(value, base)
    return value


@settings
class Rpc(Section):
    """How the daemon is reached; ``timeout`` in seconds.

    ``client_key`` and ``server_public_key`` are as they stand in the file: only clients need those files, and a daemon
    is not to fail because its user has no home directory.
    """

    manager_bind: Uris = setting("URI, or list of URIs, at which clients are served.")
    worker_bind: Uri = setting("URI at which the manager's workers are served.")
    server_key: FilePath = setting("The daemon's secret key, mode 0600, for endpoints at tcp.", "server.key")
    authorized_keys: FilePath = setting(
        "Directory of the public keys, *.pub, of the clients that may connect over tcp.", "authorized_keys.d"
    )
    client_key: Text = setting("A client's secret key, mode 0600, for an endpoint at tcp.", CLIENT_KEY)
    server_public_key: Text = setting(
        "The public key that the daemon at tcp has to have, for clients.", SERVER_PUBLIC_KEY
    )
    timeout: Duration = setting("How long a client waits for an answer.", "30s")


RequestBytes = Annotated[int, Keywords(minimum=1, maximum=MAX_BYTES, description="Bytes of a request.")]
RequestValues = Annotated[
    int, Keywords(minimum=1, description="Values (objects, arrays, strings, numbers ...) of a request.")
]
RequestDocuments = Annotated[int, Keywords(minimum=1, description="Documents of a request.")]
ValidationTime = Annotated[
    float,
    Resolved(_seconds, **DURATION, description="How long checking its documents may take, at most 8s."),
]


@settings
class LimitSection(Section):
    """How large a request may be; ``validation`` in seconds."""

    bytes: RequestBytes = setting(initial=1024 * 1024)
    values: RequestValues = setting(initial=20_000)
    documents: RequestDocuments = setting(initial=10_000)
    validation: ValidationTime = setting(initial="2s")


@settings
class ImportLimits(LimitSection):
    """How large a request of a subject with the right ``import`` may be."""

    bytes: RequestBytes = setting(initial=MAX_BYTES)
    values: RequestValues = setting(initial=400_000)
    documents: RequestDocuments = setting(initial=100_000)
    validation: ValidationTime = setting(initial="8s")


@settings
class Limits(Section):
    """What one subject may take of the daemon, and how large a request may be."""

    connections: Count = setting("Connections of one user; root and the daemon's user may have more.", 64)
    in_flight: Count = setting(
        "Requests of one subject that wait for their answers; not of root and the daemon's user.", 16
    )
    jobs: Count = setting("Jobs of one subject that wait to be run; not of root and the daemon's user.", 64)
    queue: Count = setting("Jobs of everybody that wait to be run.", 1000)
    depth: Annotated[int, Keywords(minimum=1, maximum=64)] = setting("Levels of nesting in a request.", 32)
    string: Count = setting("Characters of one string.", 262_144)
    reply: Count = setting("Bytes of an answer.", 64 * 1024 * 1024)
    message: LimitSection = section("How large a request may be.")
    import_: ImportLimits = section(
        "The same for subjects with the right import; the time for checking is that of requests that import."
    )

    def section(self, name: SectionName) -> LimitSection:
        """Return the size limits of this name."""
        return self.import_ if name == "import" else self.message


@settings
class Log(Section):
    """How the daemon logs."""

    level: Literal["debug", "info", "warning", "error"] = setting("The least urgent that is logged.", "info")
    format: Literal["text", "json"] = setting("Text for people, or a JSON object a line.", "text")


@settings
class Settings(Section):
    """What may stand in the file."""

    rpc: Rpc = section("How the daemon is reached.")
    workers: Annotated[int, Keywords(minimum=1, maximum=256)] = setting(
        "Worker processes: so many jobs run side by side.", 2
    )
    db: FilePath = setting("The database file.")
    state_key: FilePath | None = setting(
        "File of mode 0600 with a key, 32 bytes in base64: secrets are sealed in the database."
    )
    user: Text | None = setting("Whom root's manager becomes: lmaps, if the host has that user; root: it stays root.")
    group: Text | None = setting("Group whose members may connect to root's daemon: lmaps, if the manager is not root.")
    policy: FilePath | None = setting("File that says who may do what; for root /etc/lmaps/policy.yaml if it is there.")
    units: list[JsonObject] = setting("Units that stand in the configuration itself.", [])
    unit_dirs: Directories = setting("Directories of unit files.")
    plugin_dirs: Directories = setting("Directories of handlers of your own.", [])
    limits: Limits = section("What one subject may take of the daemon.")
    log: Log = section("The daemon's log, on its standard error.")


@settings
class Config(Settings):
    """The configuration of a daemon, with every setting filled.

    ``file`` is where it was read from, ``document`` knows the places of its parts. ``uid`` is the user who reads it,
    whose daemon it is.
    """

    file: str | None
    uid: int
    document: yamlio.Document | None

    @classmethod
    def of(cls, config: "Config | JsonObject") -> "Config":
        """Return ``config``, which may be what `to_dict` returns, as a `Config`."""
        return config if isinstance(config, Config) else cls.from_dict(config)


SCHEMA = object_schema(Settings, is_nested=True)
"""The JSON Schema of the file."""
