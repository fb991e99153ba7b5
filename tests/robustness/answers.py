"""What clients were told of their changes to the unit ``web``, and whether that was true."""

from lmaps import Client
from lmaps.errors import LmapsError, OutcomeUnknown
from lmaps.protocol import Reply


class Answers:
    """Hosts that were kept, refused, or of which nobody knows; ``codes`` are those of the refusals."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self.codes: set[str] = set()

    def create(self, client: Client, host: str, **more: object) -> bool:
        """Whether it was kept."""
        try:
            client.call("create", unit="web", instances=[{"host": host, **more}])
        except OutcomeUnknown:
            self.unknown.add(host)
        except LmapsError as error:
            self.refused.add(host)
            self.codes.add(error.code)
        else:
            self.kept.add(host)
        return host in self.kept

    def take(self, host: str, reply: Reply | None) -> None:
        """It was answered so."""
        if reply is None or reply.code == OutcomeUnknown.code:
            self.unknown.add(host)
        elif reply.code is None:
            self.kept.add(host)
        else:
            self.refused.add(host)
            self.codes.add(reply.code)

    def lies(self, stored: set[str]) -> set[str]:
        """What was answered otherwise than it is; what nobody knew may be either."""
        return (self.kept - stored) | (self.refused & stored) | (stored - self.kept - self.unknown)

    def __str__(self) -> str:
        return f"{len(self.kept):,} kept, {len(self.refused):,} refused, {len(self.unknown):,} unknown"


def hosts(client: Client) -> set[str]:
    """The hosts that are stored."""
    return {row["id"] for row in client.call("show", unit="web", instances=True).extra["instances"]}
