"""All checks of `pipeline doctor`, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline.doctor.balancer import balancer_checks
from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.daemon import daemon_checks
from pipeline.doctor.engine import engine_checks
from pipeline.doctor.home_folder import home_checks
from pipeline.doctor.hosts import host_checks
from pipeline.doctor.machine import machine_checks
from pipeline.doctor.swarm import swarm_checks
from pipeline.doctor.web import web_checks

SUBJECTS: Sequence[Callable[[DoctorContext], Iterable[Check]]] = (
    machine_checks,
    home_checks,
    engine_checks,
    balancer_checks,
    daemon_checks,
    web_checks,
    host_checks,
    swarm_checks,
)
"""A function for each subject, which yields its checks. It examines nothing itself."""


def all_checks(context: DoctorContext) -> list[Check]:
    """Return the checks of all subjects."""
    return [check for subject in SUBJECTS for check in subject(context)]
