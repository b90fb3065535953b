"""Volumes without a name, which belong to one container and are removed with it."""

from __future__ import annotations

from pipeline.config.accessory import Accessory
from pipeline.config.volume import mount_path
from pipeline.engine.container import Container


def unnamed_volumes(container: Container, settings: Accessory) -> list[str]:
    """Return the paths that an image keeps in volumes that pipeline.yaml does not name. `container` is inspected."""
    return sorted(set(container.mounts) - set(map(mount_path, settings.volumes)))
