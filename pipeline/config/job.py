"""The settings of a scheduled job: a service that runs by the clock instead of all the time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pipeline.base.errors import FieldError

OF_JOB = ("schedule", "timezone", "timeout")
"""The keys of a service that only a job has."""

NOT_OF_JOB = {
    "replicas": "it runs once for each time of its schedule",
    "scaling": "it runs once for each time of its schedule",
    "target_group": "it gets no requests",
    "health_check": "its exit code tells whether it succeeded",
    "rolling": "a deployment replaces no container of it",
    "strategy": "it gets no requests",
    "rollback_on": "a deployment starts no container of it",
    "circuit_breaker": "a deployment starts no container of it",
    "hooks": "a deployment starts no container of it",
    "after": "a deployment starts no container of it",
    "on_drain": "it gets no requests",
    "restart": "a run that fails is not repeated before its next time",
    "deploy_timeout": "a deployment starts no container of it; timeout limits its runs",
    "unhealthy_timeout": "its exit code tells whether it succeeded",
    "function": "it gets no requests",
    "swarm": "it runs on this machine",
    "log": "its output is kept by `pipeline job logs`, up to 8 MiB for each run",
    "logging": "its output is kept by `pipeline job logs`",
}
"""The keys of a service that a job does not have, each with the reason."""


def describe_schedule(schedule: str, timezone: str | None) -> str:
    """Return when a job runs, as a part of a sentence: `at 03:00 every day (Europe/Berlin)`."""
    from cronsim import CronSim

    words = CronSim(schedule, datetime(2026, 1, 1, tzinfo=UTC)).explain()
    return f"{words[0].lower()}{words[1:]} ({timezone or 'local time'})"


def job_mistakes(is_job: bool, own_keys: frozenset[str], place: tuple[str | int, ...]) -> Iterator[FieldError]:
    """Yield the keys of a service that need a schedule, or that do not fit one."""
    if is_job:
        for key in sorted(own_keys & NOT_OF_JOB.keys()):
            yield FieldError((*place, key), f"does not fit a job (a service with schedule): {NOT_OF_JOB[key]}")
        return
    for key in sorted(own_keys.intersection(OF_JOB)):
        yield FieldError((*place, key), "requires a schedule, because only a job has it")
