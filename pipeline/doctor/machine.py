"""The machine: git, open files, time zones."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from pipeline.base.program import run_program
from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding

_TIMEOUT = 10.0
# HAProxy needs two for each connection, and the daemon some for each pipeline.
_FEW_FILES = 4096
_ZONE = "Europe/Berlin"


def machine_checks(context: DoctorContext) -> Iterator[Check]:
    """Yield the checks of what every pipeline needs."""
    yield Check("git", lambda: [_git(context)])
    yield Check("open files", lambda: [open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])])
    yield Check("time zones", lambda: [_time_zones()])


def _git(context: DoctorContext) -> Finding:
    program = shutil.which("git", path=context.environment.get("PATH"))
    if program is None:
        return Finding.failed("git", "it is not installed", "sudo apt-get install git")
    done = run_program([program, "--version"], _TIMEOUT, context.environment)
    if done.code:
        return Finding.failed("git", f"{program} does not work: {done.complaint()}", "sudo apt-get install git")
    return Finding.ok("git", done.stdout.decode(errors="replace").strip().removeprefix("git version "))


def open_files(limit: int) -> Finding:
    """Return the finding for the hard limit of open files of a process."""
    if limit == resource.RLIM_INFINITY:
        return Finding.ok("open files", "no limit for a process")
    if limit < _FEW_FILES:
        text = f"a process may open {limit} files, and HAProxy needs two for each connection"
        return Finding.warning("open files", text, "add `LimitNOFILE=65536` to the unit, or `ulimit -Hn 65536` as root")
    return Finding.ok("open files", f"{limit} for a process, about {limit // 2} connections")


def _time_zones() -> Finding:
    try:
        ZoneInfo(_ZONE)
    except (OSError, ValueError, KeyError):
        text = "this machine has no data of time zones, so `timezone` of a schedule is refused"
        return Finding.warning("time zones", text, "sudo apt-get install tzdata")
    return Finding.ok("time zones", "found")
