"""The container of an accessory, found without the time that reading the file takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.accessories.latest_container import latest_container
from pipeline.base.errors import ConfigError
from pipeline.cli.app import app_of
from pipeline.engine.console import Console
from pipeline.engine.container import Container


@contextmanager
def accessory_container(
    file: Path, parameters: Sequence[str], name: str, *, running: bool
) -> Iterator[tuple[Console, Container]]:
    """Yield the container of an accessory: the one that runs, else the latest if `running` is not set.

    The file may be invalid. Raises `ConfigError` if there is none.
    """
    with app_of(file, parameters) as app:
        container = latest_container(app.console.containers(app.pipeline), name)
        if running and container.state != "running":
            hint = f"start it with `pipeline accessory start {name}`"
            raise ConfigError(f"accessory {name} does not run", hint=hint)
        yield app.console, container
