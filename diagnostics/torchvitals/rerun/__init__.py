"""Runs a captured step again and names the operation that gave the first number that is not finite."""

from torchvitals.rerun.again import rerun

__all__ = ["rerun"]
