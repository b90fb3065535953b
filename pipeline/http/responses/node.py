"""A machine that runs replicas, as `--json` shows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Self

from pydantic import Field

from pipeline.http.responses.body import Body
from pipeline.runner.nodes import Node, NodeUse


class NodeResponse(Body):
    """A machine that may have replicas of a pipeline."""

    name: str = Field(description="The name of the host.")
    engine: str = Field(description="The address of its engine, or `local`.")
    zone: str = Field(description="Its zone.")
    address: str = Field(description="Where the balancer reaches it.")
    use: NodeUse = Field(description="Whether it takes replicas.")
    replicas: int | None = Field(description="The number of its replicas, null if it does not answer.")
    fault: str = Field(description="Why it does not answer, empty if it does.")

    @classmethod
    def from_node(cls, node: Node) -> Self:
        """Return the response for a node."""
        return cls.model_validate(asdict(node))
