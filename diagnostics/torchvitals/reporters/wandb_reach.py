"""Asks whether a server answers; without it one that does not would hold up the start of a training."""

import ssl
import threading
import urllib.error
import urllib.request
from http.client import HTTPException

REACH_SECONDS = 4.0
TOO_LATE = f"did not answer within {REACH_SECONDS:.0f} s"


def silence(url: str) -> str:
    """What the server did instead of answering; empty when it answered."""
    # In a thread, for looking up a name has no time limit of its own.
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(_refusal(url)), daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    return found[0] if found else TOO_LATE


def _refusal(url: str) -> str:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=REACH_SECONDS).close()
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        return told(error.reason)
    except (OSError, HTTPException) as error:
        return told(error)
    return ""


def told(reason: object) -> str:
    """A failed connection in words; empty for a server that did answer."""
    match reason:
        case ssl.SSLError():  # we refuse its certificate; W&B may trust others than we do
            return ""
        case TimeoutError():
            return TOO_LATE
        case ConnectionRefusedError():
            return "refused the connection"
    return f"cannot be reached ({reason})"
