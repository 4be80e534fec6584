"""A capture: one small file that can be opened safely and holds all that is known of one step."""

import json
import os
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchvitals.core.errors import TorchvitalsError
from torchvitals.core.snapshot import Snapshot, encode
from torchvitals.core.summary import Summary

FORMAT = 1
MAGIC = b"PK\x03\x04"
"""first bytes of every capture"""


class BadCapture(TorchvitalsError, ValueError):
    """The file is not a capture that can be read."""

    def __init__(self, path: str | Path, what: str) -> None:
        super().__init__(f"{path}: {what}")


@dataclass(frozen=True, kw_only=True)
class Capture:
    """One step of a training. `header` is plain JSON; `arrays` holds what it refers to by key."""

    header: dict[str, Any]
    """
    step, rank, model, triggers, notes; iterations with trees of what the model was given; tensors with dtype,
    shape and device; weights by name; snapshots and summary as in a recording
    """
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def step(self) -> int:
        return self.header["step"]

    @property
    def loss(self) -> float | None:
        """Mean loss over the micro-batches as the training told it, or None."""
        loss = self.header["scalars"].get("loss")
        return None if loss is None else float(loss)

    @property
    def scale(self) -> float:
        """What the loss was multiplied by before the backward pass."""
        return float(self.header["scalars"].get("loss_scale", 1.0))

    @cached_property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The latest ones, that of the step last."""
        return tuple(Snapshot.from_dict(data) for data in self.header["snapshots"])

    @cached_property
    def summary(self) -> Summary:
        """The run until then."""
        return Summary.from_dict(self.header["summary"])

    def tensor(self, key: str) -> Tensor:
        """A tensor as it was, on the CPU. Raises `KeyError` with the reason where it could not be stored."""
        about = self.header["tensors"][key]
        if key not in self.arrays:
            raise KeyError(about.get("missing", "not in the capture"))
        dtype, x = getattr(torch, about["dtype"]), torch.from_numpy(self.arrays[key].copy())
        if not x.numel():
            return torch.empty(about["shape"], dtype=dtype)
        return x if x.dtype == dtype else x.view(dtype).reshape(about["shape"])

    def random(self, prefix: str) -> dict[str, np.ndarray]:
        """States of the random generators that were stored under that prefix."""
        start = prefix + "/"
        return {key.removeprefix(start): a for key, a in self.arrays.items() if key.startswith(start)}


def array_of(x: Tensor) -> np.ndarray:
    """A tensor on the CPU as an array; of dtypes that numpy does not know, the bytes."""
    try:
        return x.numpy()
    except TypeError:
        return x.reshape(-1).view(torch.uint8).numpy()


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("torchvitals", "torch", "numpy")}
    return {**packages, "python": platform.python_version()}


def write(capture: Capture, folder: Path, stem: str) -> Path:
    """Write it in one piece, as `stem`.npz, or `stem`-2.npz where that is taken, ... Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain(capture.header), allow_nan=False, separators=(",", ":"))
    names = (folder / f"{stem}{f'-{n}' if n > 1 else ''}.npz" for n in range(1, 10_000))
    path = next(name for name in names if not name.exists())
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            arrays: dict[str, Any] = {"header": np.frombuffer(text.encode(), np.uint8), **capture.arrays}
            np.savez(file, **arrays)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def is_capture(path: str | Path) -> bool:
    """Whether the file begins as a capture does. Raises `OSError` where it cannot be read."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(path: str | Path) -> Capture:
    """Read a capture; nothing in it is ever executed. Raises `BadCapture`, or `OSError` for no file."""
    if not is_capture(path):
        raise BadCapture(path, "not a capture: it is no .npz file")
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            if "header" not in file.files:
                raise BadCapture(path, "not a capture of torchvitals: it has no header")
            header = json.loads(file["header"].tobytes())
            arrays = {key: file[key] for key in file.files if key != "header"}
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
        if isinstance(error, BadCapture):
            raise
        raise BadCapture(path, f"damaged or cut off ({error}); was the disk full?") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        told = header.get("format") if isinstance(header, dict) else None
        raise BadCapture(path, f"format {told!r}, this torchvitals reads format {FORMAT}")
    return Capture(header=header, arrays=arrays)


def _plain(value: Any) -> Any:
    """Only what standard JSON has: nan and inf become text, numpy's numbers Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return encode(value) if isinstance(value, float) else value
