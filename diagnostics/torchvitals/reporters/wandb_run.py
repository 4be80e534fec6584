"""Starts a W&B run that can neither stop nor hold up a training; without it a sweep dies with the network."""

import shlex
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torchvitals.core.errors import FieldError, MissingExtra
from torchvitals.reporters.wandb_reach import silence

if TYPE_CHECKING:
    from wandb import Run, Settings

Mode = Literal["online", "offline", "disabled"]
MODES: tuple[Mode, ...] = ("online", "offline", "disabled")
LIMITS: Mapping[str, float | int] = {
    "init_timeout": 8.0,
    "finish_timeout": 10.0,
    # A server that takes connections and never answers makes `finish` wait in spite of its limit.
    "x_graphql_timeout_seconds": 5.0,
    "x_graphql_retry_max": 1,
    "x_file_stream_timeout_seconds": 5.0,
    "x_file_stream_retry_max": 2,
    "x_file_stream_retry_wait_max_seconds": 4.0,
}


class WentOffline(UserWarning):
    """The run was asked to be online and is written to disk instead."""


def load() -> Any:
    """The wandb package, or `MissingExtra`."""
    try:
        import wandb
    except ImportError as error:
        raise MissingExtra("wandb", "wandb") from error
    if not hasattr(wandb, "init"):  # a folder `wandb/` of old runs is importable too
        raise MissingExtra("wandb", "wandb")
    return wandb


def safe_settings(**overrides: Any) -> "Settings":
    """W&B settings with short limits. By default `init` waits for 90 s, and `finish` for ever.

    The price: after about half a minute without a server the rest of the run is on disk only (`wandb sync`).
    """
    return load().Settings(**{**LIMITS, **overrides})


def start_run(
    project: str,
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    folder: str | Path = ".",
    mode: Mode = "offline",
    **more: Any,
) -> "Run | None":
    """Start a run in `folder`/wandb; None when disabled, or when not even a file can be written.

    An online run goes offline, with one warning, when nobody is logged in or the server does not answer
    within seconds; the warning says how to upload it later. A run that this process left open is finished
    first: W&B would write both into one. `more` goes to `wandb.init`. The caller finishes the run.
    """
    if mode not in MODES:
        raise FieldError("mode", mode, f"one of {', '.join(MODES)}")
    if mode == "disabled":
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    given = {"project": project, "name": name, "config": dict(config or {}), "dir": str(folder), **more}
    _finish_previous()
    run, offline_because = _online(**given) if mode == "online" else (None, "")
    if run is not None:
        return run
    run, obstacle = _init(mode="offline", **given)
    if run is None:
        _warn(f"The W&B run {name or project!r} is not recorded: {obstacle}.")
    elif offline_because:
        upload = f"To upload it later: wandb sync {shlex.quote(run.settings.sync_dir)}"
        _warn(f"The W&B run {name or project!r} is written to disk only: {offline_because}. {upload}")
    return run


def _online(**given: Any) -> "tuple[Run | None, str]":
    obstacle = _obstacle()
    return (None, obstacle) if obstacle else _init(mode="online", **given)


def _finish_previous() -> None:
    previous = load().run
    if previous is not None:
        with suppress(load().Error, OSError):
            previous.finish()


def _warn(sentence: str) -> None:
    """One clean line for people and a `WentOffline` for programs that ask for it.

    Python prints a warning with a line of our source, so unless a filter says otherwise it stays silent.
    """
    warnings.filterwarnings("ignore", category=WentOffline, append=True)
    warnings.warn(sentence, WentOffline, stacklevel=3)
    if sys.stderr is not None:  # a windowed process has no terminal
        print(f"torchvitals: {sentence}", file=sys.stderr, flush=True)


def _init(*, mode: str, **given: Any) -> "tuple[Run | None, str]":
    wandb = load()
    try:
        return wandb.init(mode=mode, settings=safe_settings(), **given), ""
    except (wandb.Error, OSError) as error:
        return None, str(error).rstrip(".")


def _obstacle() -> str:
    """Why an online run is not possible, found out without a prompt; empty when nothing speaks against it."""
    wandb = load()
    url = wandb.setup().settings.base_url
    if why := silence(url):  # first, because a login greets the server and would wait for it
        return f"{url} {why}"
    try:
        return "" if wandb.login(prompt=False, verify=False) else "nobody is logged in (try `wandb login`)"
    except wandb.Error as error:
        return str(error).rstrip(".")
