"""The container of an accessory, found without the time that reading the file takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import did_you_mean
from pipeline.cli.app import app_of
from pipeline.engine.console import Console
from pipeline.engine.container import Container
from pipeline.engine.labels import LABEL_ACCESSORY, LABEL_ROLE, ROLE_ACCESSORY


@contextmanager
def accessory_container(
    file: Path, parameters: Sequence[str], name: str, *, running: bool
) -> Iterator[tuple[Console, Container]]:
    """Yield the container of an accessory: the one that runs, else the latest if `running` is not set.

    The file may be invalid. Raises `ConfigError` if there is none.
    """
    with app_of(file, parameters) as app:
        found = [each for each in app.console.containers(app.pipeline) if each.labels.get(LABEL_ROLE) == ROLE_ACCESSORY]
        own = [each for each in found if each.labels.get(LABEL_ACCESSORY) == name]
        own.sort(key=lambda each: (each.is_running, each.created_at))
        if not own:
            names = {each.labels.get(LABEL_ACCESSORY, "") for each in found}
            hint = did_you_mean(name, names) or "`pipeline accessory list` shows them"
            raise ConfigError(f"accessory {name} has no container", hint=hint)
        if running and own[-1].state != "running":
            hint = f"start it with `pipeline accessory start {name}`"
            raise ConfigError(f"accessory {name} does not run", hint=hint)
        yield app.console, own[-1]
