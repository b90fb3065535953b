"""The comments in an imported pipeline.yaml: what a reader who knows Compose does not expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]


def comments_of(content: Mapping[str, Any]) -> dict[Path, str]:
    """Return comments by the paths of their keys."""
    found: dict[Path, str] = {}
    if "secrets" in content:
        found["secrets",] = "NAME=value lines, mode 0600; keep it out of git"
    if "accessories" in content:
        found["accessories",] = "started before the services; no deployment replaces them"
    deploy = content["deploy"]
    if "release_command" in deploy:
        found["deploy", "release_command"] = "runs once in each new release, before its services"
    if "services" in deploy and len(deploy) > 1:
        found["deploy", "services"] = "each also has what is written above"
    for name, group in content.get("balancer", {}).get("target_groups", {}).items():
        if group.get("health_check") == {"protocol": "TCP"}:
            found["balancer", "target_groups", name] = "the check only connects; {path: /healthz} requests a page"
    return found
