"""The check of a template without a stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.stacks.goals import StackRequest, parsed
from pipeline.stacks.records import Goal
from pipeline.stacks.stacks import ACCOUNT, Stacks
from pipeline.stacks.start import new_stack


def validated(
    stacks: Stacks, text: str, source: str, parameters: Mapping[str, str], *, ignore_unknown: bool = False
) -> dict[str, Any]:
    """Return the summary of a template, with `Warnings`. Raises `TemplateError` and `StackError`.

    With parameters, it is evaluated too: its values, its rules and its imports.
    """
    template = parsed(text, source)
    summary: dict[str, Any] = {**template.summary(), "Warnings": list(template.warnings)}
    if not ignore_unknown:
        stacks.types.check(summary["ResourceTypes"])
    if parameters:
        draft = new_stack("validate", "", "us-east-1", ACCOUNT, Goal(""), stacks.clock)
        # Nobody owns it, so nothing exists that its parameters could name.
        goals = replace(stacks.goals, existing=lambda _: None)
        goals.goal(draft, StackRequest(text, parameters, ignore_unknown=ignore_unknown, source=source))
    return summary
