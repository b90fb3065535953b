"""How much an event matters: information, a warning, or an error that needs a user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pipeline.base.suggestion import did_you_mean
from pipeline.event_kinds import FORMER_KINDS, EventKind
from pipeline.events import Event

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")

_WARNINGS = frozenset(
    {
        EventKind.RUN_INTERRUPTED,
        EventKind.RUN_CANCELLED,
        EventKind.SOURCE_DIRTY,
        EventKind.BUILD_RETRY,
        EventKind.TEST_RETRY,
        EventKind.IMAGE_FALLBACK,
        EventKind.ROLLBACK_STARTED,
        EventKind.DEPLOYMENT_HELD,
        EventKind.JOB_CANCELLED,
        EventKind.JOB_SKIPPED,
        EventKind.HOST_LOST,
        EventKind.TARGET_NOT_HEALTHY,
        EventKind.TARGET_UNHEALTHY,
        EventKind.TARGET_REQUESTS_ABORTED,
        EventKind.TARGET_EXITED,
        EventKind.TARGET_RESTARTED,
        EventKind.ACCESSORY_RESTARTED,
        EventKind.ACCESSORY_DRIFT,
        EventKind.RECOVERY_STARTED,
        EventKind.RECONCILE_DRIFT,
        EventKind.SCALING_BLIND,
        EventKind.SUPERVISOR_BLOCKED,
        EventKind.QUEUE_BLOCKED,
        EventKind.CONFIG_REJECTED,
        EventKind.BALANCER_RESTARTED,
        EventKind.BALANCER_RESUMED,
        EventKind.ENDPOINT_REJECTED,
        EventKind.ENDPOINT_DETACHED,
        EventKind.APPLIANCE_UNUSABLE,
        EventKind.CERTIFICATE_EXPIRING,
        EventKind.TRIGGER_WATCH_LOST,
        EventKind.TRIGGER_NO_REFS,
    }
)


def kinds_of(severity: Severity) -> frozenset[str]:
    """Return the kinds of exactly this severity. `run.finished` has one by its outcome, and is in none of them."""
    return frozenset(kind for kind in EventKind if kind != EventKind.RUN_FINISHED and _of_kind(kind) == severity)


def severity_of(event: Event) -> Severity:
    """Return the severity of an event. A run that failed is an error, one that was cancelled a warning."""
    if event.kind == EventKind.RUN_FINISHED and event.fields.get("code") is not None:
        return "warning" if event.fields.get("state") == "cancelled" else "error"
    return _of_kind(event.kind)


def _of_kind(kind: str) -> Severity:
    ending = kind.rpartition(".")[2]
    if ending == "failed":
        return "error"
    return "warning" if ending == "warning" or kind in _WARNINGS else "info"


def kinds_named(names: Iterable[str]) -> frozenset[str]:
    """Return the kinds that are named, each by itself or by its noun, such as `target`. Raises `ValueError`.

    They have the names under which previous versions have stored them too.
    """
    found = set[str]()
    for name in names:
        kinds = {kind.value for kind in EventKind if name in (kind, kind.partition(".")[0])}
        if not kinds:
            nouns = {kind.partition(".")[0] for kind in EventKind}
            hint = did_you_mean(name, [*EventKind, *nouns] if "." in name else nouns)
            raise ValueError(f"{name[:60]!r} is not a kind of event; {hint}")
        found |= kinds
    return frozenset(found | {former for former, kind in FORMER_KINDS.items() if kind in found})
