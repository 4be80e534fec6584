"""Rules on judging: pure, silent where too little was seen, and never stumbling."""

import json
import warnings
from collections.abc import Iterator
from typing import Any

from torchvitals.core.finding import Finding, Severity
from torchvitals.core.protocols import Diagnostic
from torchvitals.core.window import Window


def is_silent(cls: type[Diagnostic], words: str, window: Window) -> Iterator[str]:
    found, error = _judged(cls, window)
    if error is not None:
        yield f"raised {error!r} on {words}."
    if found:
        yield f"accuses {words}: {found[0]}"


def behaves(cls: type[Diagnostic], words: str, window: Window) -> Iterator[str]:
    before = _written(window)
    found, error = _judged(cls, window)
    if error is not None:
        yield f"raised {error!r} on {words}."
        return
    if _written(window) != before:
        yield f"changed {words}; a diagnostic only reads."
    again, _ = _judged(cls, window)
    if repr(again) != repr(found):  # by their texts, since a nan is not equal to itself
        yield f"finds something else when it judges {words} twice."
    for finding in found:
        yield from _is_signed(cls, finding, words, window)


def _judged(cls: type[Diagnostic], window: Window) -> tuple[list[Any], Exception | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return list(cls().diagnose(window)), None
    except Exception as error:
        return [], error


def _is_signed(cls: type[Diagnostic], finding: Any, words: str, window: Window) -> Iterator[str]:
    if not isinstance(finding, Finding):
        yield f"yields {finding!r} on {words}, which is no Finding."
        return
    signed = (finding.code, finding.name)
    if signed != (cls.code, cls.name):
        yield f"signs a finding as {signed} and not as {(cls.code, cls.name)}; use self.finding(...)."
    if not isinstance(finding.severity, Severity):
        yield f"gives the severity {finding.severity!r}, not one of Severity."
    if not (isinstance(finding.where, tuple) and all(isinstance(name, str) for name in finding.where)):
        yield f"says where={finding.where!r}, not a tuple of names."
    if not (isinstance(finding.since, int) and finding.since <= window.latest.step):
        yield f"dates a finding to {finding.since!r}, not to a step up to {window.latest.step}."
    if not (finding.message.strip() and finding.cause.strip()):
        yield f"gives no message or no cause on {words}."
    yield from _is_plain(finding)


def _is_plain(finding: Finding) -> Iterator[str]:
    try:
        json.dumps(dict(finding.evidence))
    except (TypeError, ValueError) as error:
        yield f"gives evidence that is not plain numbers and words: {error}."


def _written(window: Window) -> str:
    return json.dumps([snapshot.to_dict() for snapshot in window.snapshots])
