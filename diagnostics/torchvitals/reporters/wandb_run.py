"""Starts a W&B run that can neither stop nor hold up a training; without it a sweep dies with the network."""

import ssl
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torchvitals.core.errors import FieldError
from torchvitals.reporters.wandb import load

if TYPE_CHECKING:
    from wandb import Run, Settings

Mode = Literal["online", "offline", "disabled"]
MODES: tuple[Mode, ...] = ("online", "offline", "disabled")
REACH_SECONDS = 4.0


class WentOffline(UserWarning):
    """The run was asked to be online and is written to disk instead."""


def safe_settings(**overrides: Any) -> "Settings":
    """W&B settings with short limits: by default `init` may take 90 s, and `finish` waits for ever for a server
    that has gone away."""
    return load().Settings(**{"init_timeout": 8.0, "finish_timeout": 10.0, **overrides})


def start_run(
    project: str,
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    folder: str | Path = ".",
    mode: Mode = "offline",
    **more: Any,
) -> "Run | None":
    """Start a run in `folder`/wandb; None when it is disabled, or when not even an offline run can be written.

    An online run goes offline, with one warning, when nobody is logged in or the server does not answer within
    seconds; `wandb sync` uploads it later. A run left open by the same process is finished first, for W&B would write
    both into one. `more` goes to `wandb.init`. The caller finishes the run.
    """
    if mode not in MODES:
        raise FieldError("mode", mode, f"one of {', '.join(MODES)}")
    if mode == "disabled":
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    given = {"project": project, "name": name, "config": dict(config or {}), "dir": str(folder), **more}
    if mode == "online":
        obstacle = _obstacle()
        run, obstacle = (None, obstacle) if obstacle else _init(mode="online", **given)
        if run is not None:
            return run
        warnings.warn(f"W&B run {name or project!r} is written offline: {obstacle}.", WentOffline, stacklevel=2)
    run, obstacle = _init(mode="offline", **given)
    if run is None:
        warnings.warn(f"W&B run {name or project!r} is not recorded: {obstacle}.", WentOffline, stacklevel=2)
    return run


def _init(*, mode: str, **given: Any) -> "tuple[Run | None, str]":
    wandb = load()
    try:
        return wandb.init(mode=mode, reinit="finish_previous", settings=safe_settings(), **given), ""
    except (wandb.Error, OSError) as error:
        return None, str(error).rstrip(".")


def _obstacle() -> str:
    """Why an online run is not possible, found out without asking the user; empty when nothing speaks against it."""
    wandb = load()
    try:
        if not wandb.login(prompt=False, verify=False):
            return "nobody is logged in (wandb login)"
    except wandb.Error as error:
        return str(error).rstrip(".")
    url = wandb.setup().settings.base_url
    return "" if _reachable(url) else f"{url} did not answer within {REACH_SECONDS:.0f} s"


def _reachable(url: str) -> bool:
    """Whether any answer comes. Looking up a name has no time limit of its own, hence the thread."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_answers(url)), daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    return bool(answers and answers[0])


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=REACH_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # it did answer; W&B may trust more certificates than we do
    except OSError:
        return False
    return True
