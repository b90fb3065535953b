"""What the verdicts mean for the deployment (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.alarms.verdict import Verdict


@dataclass(frozen=True)
class AlarmDecision:
    """`wait`: the bake time is not over. `reasons` are the texts of the verdicts that decided."""

    action: Literal["wait", "promote", "rollback"]
    reasons: tuple[str, ...] = ()


def decide(
    verdicts: Sequence[Verdict], insufficient_data: Literal["promote", "rollback"], *, bake_time_over: bool
) -> AlarmDecision:
    """Return the decision. An alarm rolls back at any time. All else waits for the end of the bake time."""
    if alarms := tuple(f"alarm: {verdict.text}" for verdict in verdicts if verdict.state == "ALARM"):
        return AlarmDecision("rollback", alarms)
    if not bake_time_over:
        return AlarmDecision("wait")
    undecided = tuple(verdict.text for verdict in verdicts if verdict.state == "INSUFFICIENT_DATA")
    if undecided and insufficient_data == "rollback":
        return AlarmDecision("rollback", undecided)
    return AlarmDecision("promote", tuple(verdict.text for verdict in verdicts))
