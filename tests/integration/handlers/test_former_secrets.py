"""What a tool finds on the host and prints may be the secret of before: it is masked too."""

from collections.abc import Callable
from functools import partial

from lmaps import Client
from tests.daemons import RunningDaemon, until
from tests.integration.handlers.test_fuzzed_events import ended_job

UNIT = """\
meta: {name: vault, primary_key: id}
handler:
  type: command
  args: {argv: [sh, -c, 'cat host; cat > host; exit $(cat rc)'], cwd: .}
params: {type: object, required: [id], properties: {id: {type: string}, secret: {writeOnly: true}}}
"""


def test_a_secret_that_was_replaced_is_masked_until_it_is_gone(start_daemon: Callable[..., RunningDaemon]) -> None:
    daemon = start_daemon(UNIT)
    (daemon.unit_dir / "host").touch()
    texts = []
    with Client(daemon.endpoint, timeout=60) as client:
        client.call("create", unit="vault", instances=[{"id": "a"}])
        for number, (secret, rc) in enumerate(
            (("first-secret", 0), ("second-secret", 1), ("third-secret", 0), ("", 0)), 1
        ):
            (daemon.unit_dir / "rc").write_text(str(rc))
            if secret:
                client.call("set", unit="vault", id="a", instance={"id": "a", "secret": secret})
            else:
                client.call("delete", unit="vault", ids=["a"])
            client.call("apply", unit="vault")
            job = until(partial(ended_job, client, number))
            assert job["rc"] == rc
            texts.append("".join(line["text"] for line in client.call("lines", job=number).extra["lines"]))
    assert not [text for text in texts if "-secret" in text]
    assert ["(secret)" in text for text in texts] == [False, True, True, True]
