"""The checks of one subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.doctor.check import Check, run_checks
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding
from tests.support.waiting import DEADLINE


def found_by(subject: Callable[[DoctorContext], Iterable[Check]], context: DoctorContext) -> list[Finding]:
    """Return what the checks of a subject find."""
    return run_checks(list(subject(context)), DEADLINE)
