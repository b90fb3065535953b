"""What is known about an engine: its version, its platform and its log driver, by its address."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.engine.docker.faults import address_of, translate_errors

# The engine queries its own components for each response, which takes some 10 ms.
_KNOWN: dict[str, Mapping[str, Any]] = {}
# In seconds. These may change when the engine is upgraded or restarted with another configuration.
_MAX_AGE = 60.0
_RECENT: dict[tuple[str, str], tuple[float, str]] = {}


def recently(address: str, fact: str, ask: Callable[[], str]) -> str:
    """Return a fact about the engine at `address` that was asked within the last minute, else the answer of `ask`."""
    asked, answer = _RECENT.get((address, fact), (0.0, ""))
    # Without a lock: an engine that hangs would make concurrent callers wait for one another.
    if not answer or time.monotonic() - asked > _MAX_AGE:
        answer = ask()
        _RECENT[address, fact] = (time.monotonic(), answer)
    return answer


def log_driver_of(api: Any) -> str:
    """Return the default log driver of an engine, as it was within the last minute."""
    with translate_errors(api):
        return recently(address_of(api), "log driver", lambda: str(api.info().get("LoggingDriver", "")))


def remember_server(address: str, server: Mapping[str, Any]) -> None:
    """Keep an engine's answer about its version for `server_of`."""
    _KNOWN[address] = server


def server_of(api: Any) -> Mapping[str, Any]:
    """Return the engine's answer about its version. It is kept for this process."""
    address = address_of(api)
    if address not in _KNOWN:
        with translate_errors(api):
            _KNOWN[address] = api.version()
    return _KNOWN[address]


def is_docker(api: Any) -> bool:
    """Return whether an engine is Docker's. Podman's has the same API, and no BuildKit."""
    components = server_of(api).get("Components") or [{"Name": "Engine"}]
    return any(component.get("Name") == "Engine" for component in components)
