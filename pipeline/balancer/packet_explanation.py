"""The explanation of a packet at an endpoint: the appliance that gets a new flow, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.effective import EffectiveGatewayListener, effective_listeners
from pipeline.balancer.effective_endpoints import EffectiveEndpoint, find_endpoint
from pipeline.balancer.flow_shares import chosen_targets
from pipeline.balancer.gateway.choice import slot_table
from pipeline.balancer.gateway.config_gateway import endpoint_pool
from pipeline.balancer.gateway.flow_key import FlowFields, FlowKey
from pipeline.balancer.model import GatewayTargetGroup, TargetHealth
from pipeline.balancer.packet_question import PacketQuestion
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError


@dataclass(frozen=True)
class PacketExplanation:
    """What happens to a packet that begins a flow at an endpoint.

    `key`: what both directions of the flow have in common. `fields`: their number. `targets`: the appliances of the
    endpoint's pool. `eligible`: those among which the flow chooses, all of them if none is healthy (`fails_open`).
    `slot` and `chosen` are None without one. `had`: the appliance that has the flow already. It keeps it if it is the
    chosen one.
    """

    question: PacketQuestion
    endpoint: EffectiveEndpoint
    listener: EffectiveGatewayListener
    key: FlowKey
    fields: FlowFields
    targets: Sequence[TargetHealth]
    eligible: Sequence[TargetHealth]
    fails_open: bool
    slot: int | None
    chosen: TargetHealth | None
    had: TargetHealth | None = None

    @property
    def reason(self) -> str:
        """Why the appliance gets the flow, or why none does, in a sentence."""
        if self.had and self.had is self.chosen:
            return f"the flow is open, and stays with {self.had.target.id}"
        if self.had:
            return f"the flow of {self.had.target.id}, which is {self.had.state}, chooses again: {self._choice}"
        return self._choice

    @property
    def _choice(self) -> str:
        if self.chosen is None:
            return "the endpoint has no appliance that was ever healthy, so its packets are dropped"
        zone = self.endpoint.endpoint.settings.zone
        place = f" of {zone}" if zone and self.listener.balancer.zones else ""
        among = f"all {len(self.eligible)} appliances{place}, because none is healthy"
        if not self.fails_open:
            among = f"{len(self.eligible)} healthy appliances{place}"
        return f"the hash {self.key.hash:08x} of the flow chooses slot {self.slot}, which it has among {among}"


def explain_packet(balancer: BalancerReader, endpoint: str, question: PacketQuestion) -> PacketExplanation:
    """Return what happens to a packet at an endpoint. Raises `ConfigError` if the endpoint carries none.

    `endpoint`: NAME, NAME.OWNER or the id of an endpoint.
    """
    registry = balancer.registry()
    found = find_endpoint(registry, endpoint)
    listener = _listener(registry, found)
    owner, name = listener.owner, listener.group
    group = registry.group(owner, name)
    assert isinstance(group, GatewayTargetGroup)
    pool = endpoint_pool(listener, found.endpoint.settings.zone, group)
    known = balancer.target_health(owner, name)
    targets = [one for one in known if pool.has(one.target.zone)]
    eligible, fails_open = chosen_targets(group, pool, targets)
    fields = group.attributes.flow_fields
    key = question.key(fields)
    slots = slot_table({number: one.target.id for number, one in enumerate(eligible, 1)})
    slot = key.hash % len(slots) if slots else None
    chosen = eligible[slots[slot] - 1] if slot is not None else None
    flow = balancer.open_flow(found.endpoint.endpoint_id, question.ends)
    had = next((one for one in known if flow and one.target.id == flow.target), None)
    if flow and flow.stays:
        chosen = had or chosen
    fails_open = fails_open and bool(eligible)
    return PacketExplanation(question, found, listener, key, fields, targets, eligible, fails_open, slot, chosen, had)


def _listener(registry: Registry, found: EffectiveEndpoint) -> EffectiveGatewayListener:
    balancer = found.load_balancer
    if found.reason or balancer is None:
        raise ConfigError(
            f"{found.endpoint.label} carries no packets: {found.reason}", hint="see `pipeline balancer endpoints`"
        )
    place = (balancer.owner, balancer.name)
    return next(
        one
        for one in effective_listeners(registry)
        if isinstance(one, EffectiveGatewayListener) and (one.owner, one.name) == place
    )
