"""A name means one pipeline.yaml on a machine: two that share one by accident would replace each other's targets."""

from __future__ import annotations

from pathlib import Path

from pipeline.base.errors import ConfigError
from pipeline.config.document import pipeline_name
from pipeline.config.load import Configuration
from pipeline.store.store import Store


def check_owner(store: Store, configuration: Configuration) -> None:
    """Raise `ConfigError` when what serves under the name is another file's, which still has it."""
    name, here = configuration.pipeline.name, configuration.path.resolve()
    known = store.pipelines.file(name) if store.releases.active(name) else None
    if known is not None and known != here and _has_name(known, name):
        raise ConfigError(
            f"{name} is the pipeline of {known}, and this is {here}",
            hint="give one of the two another name; if both are the same, move it here with `pipeline run --take-over`",
        )


def set_owner(store: Store, configuration: Configuration) -> None:
    """From now on the name is this file's."""
    store.pipelines.set_file(configuration.pipeline.name, configuration.path.resolve())


def _has_name(file: Path, name: str) -> bool:
    try:
        return pipeline_name(file) == name
    except ConfigError:
        # Its present state says nothing: a mistake in a file does not give its name away.
        return file.exists()
