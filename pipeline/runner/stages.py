"""The stages, found through entry points. The shipped ones use the same door as those of other packages."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, cast

from pipeline.api import Builder, Deployer, Source
from pipeline.base.errors import SystemFault

GROUP = "pipeline.stages"


def load_source() -> Source:
    """Return a new object of the Source stage. Raises `SystemFault` if it is missing."""
    return cast("Source", _load("source.git"))


def load_builder() -> Builder:
    """Return a new object of the Build stage. Raises `SystemFault` if it is missing."""
    return cast("Builder", _load("build.docker"))


def load_deployer() -> Deployer:
    """Return a new object of the Deploy stage. Raises `SystemFault` if it is missing."""
    return cast("Deployer", _load("deploy.docker"))


def _load(name: str) -> Any:
    for found in entry_points(group=GROUP, name=name):
        return found.load()()
    raise SystemFault(f"there is no stage {name}", hint="install penstock again: its entry points are missing")
