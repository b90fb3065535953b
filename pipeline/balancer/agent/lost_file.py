"""The loss of the file of what an agent keeps."""

from __future__ import annotations

from typing import Any

from pipeline.balancer.agent.wanted_file import WantedFile
from pipeline.balancer.companion import Companion


def has_lost_file(agent: Companion, file: WantedFile[Any]) -> bool:
    """Return whether an agent was started, and another program removed or damaged the file of what it keeps."""
    return file.found() is None and agent.is_started()
