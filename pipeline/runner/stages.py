"""The stages, found through entry points: the shipped ones come in by the same door as anybody's."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, cast

from pipeline.api import Deployer, SourceStage, Stage
from pipeline.base.errors import SystemFault
from pipeline.store.queue import STAGES

GROUP = "pipeline.stages"


def load_stages() -> list[Stage]:
    """One new object of each stage, in the order they run. Raises `SystemFault` when one is missing."""
    return [cast("Stage", _load(name)) for name in STAGES]


def load_source() -> SourceStage:
    """The stage that knows where commits come from."""
    return cast("SourceStage", _load("source"))


def load_deployer() -> Deployer:
    """The stage that puts releases into service."""
    return cast("Deployer", _load("deploy"))


def _load(name: str) -> Any:
    for found in entry_points(group=GROUP, name=name):
        return found.load()()
    raise SystemFault(f"there is no stage {name}", hint="install penstock again: its entry points are missing")
