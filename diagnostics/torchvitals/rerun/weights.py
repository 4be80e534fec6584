"""Puts weights into the model of a re-run: those of a checkpoint or of the capture."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchvitals.captures.capture import Capture
from torchvitals.core.errors import FieldError


def load(capture: Capture, model: nn.Module, checkpoint: str | None) -> tuple[str, list[str]]:
    """Where the weights now come from, in words, and what is to be said of them. Raises `FieldError` for
    weights that do not fit.
    """
    if checkpoint is not None:
        _put(model, _read(checkpoint), "--checkpoint")
        return "of the checkpoint", []
    names = capture.header["weights"]
    if names:
        _put(model, {name: capture.tensor(f"weight/{name}") for name in names}, "--model")
        return "of the capture, from before the update", []
    note = (
        f"The weights are those that the model was made with, not those of step {capture.step}: "
        f"{capture.header['weights_why']}. Give the last checkpoint before that step: --checkpoint FILE."
    )
    return "as the model was made", [note]


def _read(path: str) -> dict[str, Tensor]:
    """A state_dict, alone or under the names that Lightning and others give it."""
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        what = f"a file that torch.load(..., weights_only=True) reads; here it said: {error}"
        raise FieldError("--checkpoint", path, what.partition("\n")[0]) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping):
        raise FieldError("--checkpoint", path, "a file with a state_dict")
    return {name: x for name, x in found.items() if isinstance(x, Tensor)}


def _put(model: nn.Module, given: Mapping[str, Tensor], field: str) -> None:
    own = bare({**dict(model.named_parameters()), **dict(model.named_buffers())})
    stored = bare(given)
    missing = [name for name, x in own.items() if name not in stored and isinstance(x, nn.Parameter)]
    odd = [n for n, x in stored.items() if n in own and own[n].shape != x.shape]
    unknown = [name for name in stored if name not in own]
    if missing or odd or (unknown and field == "--model"):
        name = (missing or odd or unknown)[0]
        what = "has no weights there" if missing else "has another shape" if odd else "is not in the model"
        count = len(missing) + len(odd) + len(unknown)
        raise FieldError(field, name, f"model and weights that fit: {name} {what} ({count} do not fit)")
    with torch.no_grad():
        for name, x in stored.items():
            if name in own:
                own[name].copy_(x)


def bare(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without what wrappers put into names: compilers anywhere, data parallelism before each of them."""
    found = {name.replace("_orig_mod.", ""): x for name, x in named.items()}
    while found and all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): x for name, x in found.items()}
    return found
