"""Without this file one could look for a firewall where a server is just down: each silence has its name."""

import socket
import ssl

import pytest

from tests.support.fake_wandb import FakeWandb
from torchvitals.reporters import wandb_reach
from torchvitals.reporters.wandb_reach import silence


def test_server_that_answers_is_not_silent() -> None:
    with FakeWandb() as fake:
        assert silence(fake.url) == ""


def test_server_that_is_down_refuses() -> None:
    fake = FakeWandb()
    fake.die()
    assert silence(fake.url) == "refused the connection"


def test_server_that_takes_the_connection_and_says_nothing_is_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wandb_reach, "REACH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert silence(f"http://127.0.0.1:{server.getsockname()[1]}") == "did not answer within 4 s"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        pytest.param(ssl.SSLError("self-signed"), "", id="certificate"),
        pytest.param(
            socket.gaierror(-2, "Name not known"), "cannot be reached ([Errno -2] Name not known)", id="name"
        ),
    ],
)
def test_other_reasons(reason: OSError, words: str) -> None:
    assert wandb_reach.told(reason) == words
