"""Short forms for the rules of a listener."""

from __future__ import annotations

from typing import Any, TypeAlias

from pipeline.balancer.model import Rule

Names: TypeAlias = list[str] | None


def rule(priority: int, hosts: Names = None, paths: Names = None, **more: Any) -> Rule:
    """Return a rule that responds with 200. `more` are further conditions by their names."""
    conditions = [
        *([{"host_header": hosts}] if hosts else []),
        *([{"path_pattern": paths}] if paths else []),
        *({key: value} for key, value in more.items()),
    ]
    return Rule.model_validate(
        {"priority": priority, "conditions": conditions, "action": {"fixed_response": {"status_code": 200}}}
    )
