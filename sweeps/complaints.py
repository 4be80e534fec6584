"""Without this file a misspelt word would cost its author forty lines of traceback."""

import re
from collections.abc import Mapping
from typing import Any

from hydra.errors import ConfigCompositionException, InstantiationException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from models.errors import InvalidValue, invalid

_GROUP_OPTION = re.compile(r"(?P<group>.+)/(?P<option>[^/]+)")


def sentence(error: BaseException, *, config: Mapping[str, Any] | None = None) -> str:
    """What went wrong, in one line: the field, its value and the choices wherever the error knows them.

    With the run's flat configuration, a field goes by the key that the command line sets.
    """
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        return sentence(error.__cause__, config=config)
    if isinstance(error, InvalidValue) and config is not None:
        return _by_key(error, config)
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, ConfigCompositionException) and isinstance(error.__cause__, OmegaConfBaseException):
        return _bad_override(error, error.__cause__)
    text = " ".join(str(error).split())
    return text if _speaks_for_itself(error) else f"{type(error).__name__}: {text}"


def _by_key(error: InvalidValue, config: Mapping[str, Any]) -> str:
    if error.field == "in_shape" and isinstance(error.value, tuple):
        pair = f"model={config['model']} cannot read data={config['data']}"
        return f"{pair} ({_described(error.value)}): it needs {error.choices}."
    keys = [key for key in config if key.endswith(f".{error.field}")]
    return f"{keys[0] if len(keys) == 1 else error.field}: {error.problem}"


def _described(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"{shape[0]} features"
    sizes = " x ".join(map(str, shape))
    return f"steps x features: {sizes}" if len(shape) == 2 else f"images of {sizes}"


def _unknown_option(error: MissingConfigException) -> str:
    found = _GROUP_OPTION.fullmatch(error.missing_cfg_file or "")
    if not found or not error.options:
        return " ".join(str(error).split())
    group = found["group"].removeprefix("hydra/") if found["group"] != "hydra/launcher" else found["group"]
    return str(invalid(group, value=found["option"], choices=error.options))


def _bad_override(error: Exception, cause: OmegaConfBaseException) -> str:
    parent = cause.parent_node
    if cause.key is not None and isinstance(parent, DictConfig) and str(cause.key) not in parent:
        known = [str(key) for key in parent if not str(key).startswith("_") and key != "hydra"]
        key = cause.full_key or str(cause.key)
        return str(invalid("key", value=key, choices=known or "none, that group has no keys"))
    return " ".join(f"{error} {cause.msg or ''}".split())


def _speaks_for_itself(error: BaseException) -> bool:
    """Whether the text was written for users: our own errors, Hydra's and Lightning's."""
    home = type(error).__module__.partition(".")[0]
    return isinstance(error, ValueError | ImportError) or home in {"hydra", "omegaconf", "torchvitals"}
