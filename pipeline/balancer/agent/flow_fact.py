"""What an agent reports of the flows of targets, and the facts of a plane with them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    # Agents, which are to stay small, import this module.
    from pipeline.balancer.data_plane import TargetFact


class FlowFact(NamedTuple):
    """A target that gets flows. `admitted`: it gets new ones. `in_flight`: its open flows, also at former addresses.

    `fault`: why it gets no flows, whatever its health, or empty.
    """

    admitted: bool
    in_flight: int
    fault: str = ""


FlowFacts = Mapping[str, Mapping[str, FlowFact]]
"""By target group and target."""
_NO_FLOWS = FlowFact(admitted=False, in_flight=0)


def parse_facts(found: Mapping[str, Mapping[str, Iterable[Any]]]) -> FlowFacts:
    """Return the facts of an answer of an agent."""
    return {id_: {name: FlowFact(*fact) for name, fact in targets.items()} for id_, targets in found.items()}


def with_flows(targets: Mapping[str, TargetFact], flows: Mapping[str, FlowFact]) -> dict[str, TargetFact]:
    """Return the facts of a group's targets with their flows. One that HAProxy has removed may still have some."""
    from pipeline.balancer.data_plane import CheckFact, TargetFact

    removed = TargetFact(admitted=False, up=False, check=CheckFact("none"), in_flight=0, state_age=timedelta(0))
    found = {**dict.fromkeys(flows, removed), **targets}
    return {
        name: fact._replace(
            admitted=fact.admitted or flow.admitted,
            in_flight=fact.in_flight + flow.in_flight,
            fault=flow.fault,
        )
        for name, fact in found.items()
        for flow in [flows.get(name, _NO_FLOWS)]
    }
