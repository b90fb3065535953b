"""Docker on this machine, and its builder."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding
from pipeline.engine.builder import CLASSIC_BUILDER
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import EngineDescription

_HOME = "doctor"


def engine_checks(context: DoctorContext) -> Iterator[Check]:
    """Yield the checks of Docker on this machine."""
    yield Check("Docker", lambda: _docker(context))


def _docker(context: DoctorContext) -> Iterator[Finding]:
    with local_engine(_HOME, context.environment) as engine:
        yield described("Docker", engine.describe())
        text = engine.builder.description
        if text.startswith(CLASSIC_BUILDER):
            yield Finding.warning("BuildKit", text, "sudo apt-get install docker-buildx")
        else:
            yield Finding.ok("BuildKit", text)


def described(check: str, found: EngineDescription) -> Finding:
    """Return the finding for an engine that responds."""
    text = f"version {found.version}, API {found.api}, storage driver {found.storage_driver}"
    if found.storage_driver == "vfs":
        return Finding.warning(check, f"{text}, which copies each layer as a whole", "set `storage-driver` to overlay2")
    return Finding.ok(check, text)
