"""The container of an accessory among those of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import did_you_mean
from pipeline.engine.container import Container
from pipeline.engine.labels import LABEL_ACCESSORY, LABEL_ROLE, ROLE_ACCESSORY


def latest_container(containers: Sequence[Container], name: str) -> Container:
    """Return the container of an accessory: the one that runs, else the latest. Raises `ConfigError` without one."""
    found = [each for each in containers if each.labels.get(LABEL_ROLE) == ROLE_ACCESSORY]
    own = [each for each in found if each.labels.get(LABEL_ACCESSORY) == name]
    if not own:
        names = {each.labels.get(LABEL_ACCESSORY, "") for each in found}
        hint = did_you_mean(name, names) or "`pipeline accessory list` shows them"
        raise ConfigError(f"accessory {name} has no container", hint=hint)
    return max(own, key=lambda each: (each.is_running, each.created_at))
