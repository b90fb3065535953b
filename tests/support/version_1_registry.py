"""A registry as version 1 of its file has it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.balancer.model import Declaration, Target

Targets = Mapping[str, Sequence[tuple[Target, str]]]


def version_1(owners: Mapping[str, tuple[Declaration, Targets]], written_by: str = "0.1.0") -> str:
    """Return the file's text. `owners`: name → declaration, and its targets with their phases, by group."""
    return json.dumps(
        {
            "written_by": written_by,
            "owners": {
                owner: {
                    "declaration": declaration.model_dump(mode="json", exclude_unset=True),
                    "targets": {
                        group: [_registration(declaration, group, target, phase) for target, phase in targets]
                        for group, targets in groups.items()
                    },
                }
                for owner, (declaration, groups) in owners.items()
            },
        }
    )


def _registration(declaration: Declaration, group: str, target: Target, phase: str) -> dict[str, Any]:
    check = declaration.target_groups[group].health_check
    found = {
        "target": target.model_dump(mode="json"),
        "health_check": check.model_dump(mode="json", exclude_unset=True),
        "since": "2026-11-24T12:00:00Z",
    }
    # An initial one is left out, as what was not set is.
    return found if phase == "initial" else {**found, "phase": phase}
