"""What `pipeline doctor` examines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.base.home import Home
from pipeline.config.load import Configuration


@dataclass(frozen=True)
class DoctorContext:
    """The home, which may not exist yet, the environment, and the configuration, None without a valid file."""

    home: Home
    environment: Mapping[str, str]
    configuration: Configuration | None = None
