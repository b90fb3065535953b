"""The devices of the networks of endpoints, as both the plane and its monitor see them."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

from pipeline.balancer.attachments.attachments import Attachments
from pipeline.base.home_id import home_id


class AttachedDevices:
    """The attachments of one balancer directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def attachments(self) -> Attachments:
        """They are opened at the first need, because the id of the home is written if there is none."""
        return Attachments(self._directory, home_id(self._directory))

    def stamp(self) -> str:
        """Return what changes if a network goes, comes or is made again, or its device is removed."""
        return hashlib.sha256(repr(self.attachments.stamp()).encode()).hexdigest()[:16]
