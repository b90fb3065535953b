"""Which events to read: those of a pipeline or a run, of some kinds, or from a severity on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.event_kinds import FORMER_KINDS, EventKind
from pipeline.event_severity import SEVERITIES, Severity, kinds_of

_CODE = "json_extract(fields, '$.code') IS NOT NULL"
_CANCELLED = "json_extract(fields, '$.state') = 'cancelled'"

_SAME_STATE = "json_extract(fields, '$.state') IS json_extract(fields, '$.was')"


@dataclass(frozen=True)
class EventFilter:
    """The wanted events. None and an empty set let every event pass.

    `kinds` are names as events are stored, see `kinds_named`. `severity` is the least one. With `changes_only`, the
    evaluations of an alarm pass only if its state has changed, since there is one every few seconds.
    """

    pipeline: str | None = None
    run: int | None = None
    kinds: frozenset[str] = frozenset()
    severity: Severity | None = None
    changes_only: bool = False

    @property
    def condition(self) -> str:
        """The condition of SQL on a row of events. Its values are `values`."""
        parts = ["1"]
        parts += [f"{column}=?" for column in ("pipeline", "run") if getattr(self, column) is not None]
        if self.kinds:
            parts.append(_one_of(len(self.kinds)))
        if self.severity not in (None, "info"):
            cancelled = f" AND NOT {_CANCELLED}" if self.severity == "error" else ""
            finished = f"kind='{EventKind.RUN_FINISHED}' AND {_CODE}{cancelled}"
            parts.append(f"({_one_of(len(_stored_kinds(self.severity)))} OR ({finished}))")
        if self.changes_only:
            parts.append(f"NOT (kind='{EventKind.ALARM_EVALUATED}' AND {_SAME_STATE})")
        return " AND ".join(parts)

    @property
    def values(self) -> Sequence[str | int]:
        """The values of the condition, in its order."""
        place = [value for value in (self.pipeline, self.run) if value is not None]
        least = () if self.severity in (None, "info") else _stored_kinds(self.severity)
        return [*place, *sorted(self.kinds), *least]


def _stored_kinds(least: Severity | None) -> list[str]:
    """Return the kinds of at least this severity, with the names of previous versions."""
    wanted = SEVERITIES[SEVERITIES.index(least or "info") :]
    kinds = frozenset[str]().union(*map(kinds_of, wanted))
    return sorted(kinds | {former for former, kind in FORMER_KINDS.items() if kind in kinds})


def _one_of(count: int) -> str:
    return f"kind IN ({','.join('?' * count)})"
