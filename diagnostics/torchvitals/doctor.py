"""Says what is installed and what is not; without it a missing extra is found out in the middle of a run."""

import platform
from collections.abc import Iterator
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

REQUIRED = ("torch", "numpy")
OPTIONAL = {
    "pytorch-lightning": '"torchvitals[lightning]"',
    "lightning": '"torchvitals[lightning]"',
    "transformers": "transformers",
    "wandb": '"torchvitals[wandb]"',
    "rich": '"torchvitals[report]"',
}
"""Package to what pip has to install for it."""
GROUPS = ("diagnostics", "probes", "reporters")


def examine() -> Iterator[str]:
    """Versions, plugins, and what to install for what is missing. Loads plugins and nothing else."""
    yield f"torchvitals {_version('torchvitals')}, Python {platform.python_version()}"
    yield platform.platform()
    yield ""
    for package in REQUIRED:
        yield f"{package:<20}{_version(package) or 'MISSING: torchvitals cannot work without it'}"
    for package, wanted in OPTIONAL.items():
        yield f"{package:<20}{_version(package) or f'not installed: pip install {wanted}'}"
    for group in GROUPS:
        yield ""
        yield f"{group}:"
        yield from _plugins(group)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _plugins(group: str) -> Iterator[str]:
    for point in sorted(entry_points(group=f"torchvitals.{group}"), key=lambda point: point.name):
        owner = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"
        yield f"  {point.name:<24}{owner:<24}{_state(point)}".rstrip()


def _state(point: EntryPoint) -> str:
    try:
        point.load()
    except Exception as error:  # whatever a stranger's module does
        return f"DOES NOT LOAD: {type(error).__name__}: {error}"
    return "ok"
