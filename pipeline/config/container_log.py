"""`deploy.log`: limits of a container's log."""

from __future__ import annotations

from pydantic import Field

from pipeline.balancer.model import Model
from pipeline.base.quantity import Size, Whole

LOG = (
    "Limits of each container's log, with Docker's drivers json-file and local. A change applies to containers that "
    "are started later."
)


class ContainerLog(Model):
    """Limits of what Docker keeps of each container's output. The oldest lines are removed."""

    max_size: Size = Field(
        10 * 2**20, ge=2**10, description="Size of one file. Docker begins a new file when one is full."
    )
    max_files: Whole = Field(5, ge=1, le=1000, description="Number of files that are kept.")
