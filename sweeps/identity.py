"""Without this file a sweep could not tell which of its runs are done: names made of configurations."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Where and how a run is carried out, not what it is: changing these must not repeat a training.
CIRCUMSTANCES = frozenset({"hydra", "sweep", "resume", "logger", "record", "threads"})


def register_resolvers() -> None:
    """Make `${run_id:}` and `${product:2,3}` known to the configuration files."""
    OmegaConf.register_new_resolver("product", lambda *factors: math.prod(factors), replace=True)
    OmegaConf.register_new_resolver("run_id", _run_id, replace=True)


def _run_id(*, _root_: DictConfig) -> str:
    choices = _root_.hydra.runtime.choices
    words = [choices[group] for group in ("activation", "init", "optimizer")]
    return "-".join([*words, f"seed{_root_.seed}", digest(science(_root_))])


def science(config: DictConfig) -> dict[str, Any]:
    """The resolved part of the configuration that decides the numbers of a run."""
    keys = [str(key) for key in config if key not in CIRCUMSTANCES]
    container = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def digest(value: Any) -> str:
    """Eight hexadecimal digits that are equal for equal values, in every process and on every machine."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]


def flattened(config: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Leaves by the dotted keys of the command line; lists stay whole, `_target_` is left out."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if key.startswith("_"):
            continue
        if isinstance(value, Mapping):
            flat |= flattened(value, prefix=f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def telling(key: str) -> bool:
    """Whether a key of the command line decides what a run is, and not only how it is carried out."""
    return key.lstrip("+~").partition(".")[0].partition("/")[0] not in CIRCUMSTANCES


def sweep_name(overrides: Iterable[str]) -> str:
    """The folder of a sweep that was given no name: equal command lines give equal names, in any order.

    `experiment=demo` alone is called demo; else the swept keys name it, and a digest tells it from others.
    """
    pairs = {key: value for key, _, value in sorted(o.partition("=") for o in overrides) if telling(key)}
    experiment = pairs.get("experiment", "")
    if experiment and len(pairs) == 1:
        return experiment
    swept = [key.rpartition(".")[2] for key, value in pairs.items() if "," in value or "(" in value]
    return f"{experiment or '_'.join(swept) or 'sweep'}-{digest(pairs)}"
