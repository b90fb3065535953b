"""The version and the platform of an engine, asked once for each address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.engine.docker.faults import address_of, translate_errors

# The engine queries its own components for each response, which takes some 10 ms.
_KNOWN: dict[str, Mapping[str, Any]] = {}


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
