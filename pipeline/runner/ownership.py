"""The owner of a pipeline's name on a machine.

Two files that share a name by accident would replace each other's targets.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.base.errors import ConfigError
from pipeline.config.document import pipeline_name
from pipeline.config.load import Configuration
from pipeline.store.store import Store


def check_owner(store: Store, configuration: Configuration) -> None:
    """Raise `ConfigError` if the active release of this name belongs to another file that still declares the name."""
    name, here = configuration.pipeline.name, configuration.path.resolve()
    known = store.pipelines.file(name) if store.releases.active(name) else None
    if known is not None and known != here and _has_name(known, name):
        raise ConfigError(
            f"{name} is the pipeline of {known}, and this is {here}",
            hint="give one of the two another name; if both are the same, move it here with `pipeline run --take-over`",
        )


def check_name(store: Store, configuration: Configuration) -> None:
    """Raise `ConfigError` if another file declares this name, whether it has a release or not."""
    name, here = configuration.pipeline.name, configuration.path.resolve()
    known = store.pipelines.file(name)
    if known is not None and known != here and _has_name(known, name):
        raise ConfigError(f"{name} is the pipeline of {known} already", hint="give one of the two another name")


def set_owner(store: Store, configuration: Configuration) -> None:
    """Make this file the owner of its pipeline's name."""
    store.pipelines.set_file(configuration.pipeline.name, configuration.path.resolve())


def _has_name(file: Path, name: str) -> bool:
    try:
        return pipeline_name(file) == name
    except ConfigError:
        # An invalid file keeps its name, because the mistake may be temporary.
        return file.exists()
