"""A machine for providers of AWS's types: its files in a folder, and a data plane in memory."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.certificates.store import CertificateStore
from pipeline.machine.network import MachineNetwork
from pipeline.network.defaults import default_resources, default_vpc_id
from pipeline.network.kinds import Kind
from pipeline.network.lookup import Networks
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.parameter_store.store import ParameterStore
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.provider import Pending, ResourceProvider, StackContext, State
from pipeline.stacks.providers.aws_types import aws_types
from pipeline.stacks.providers.elbv2.client import Elbv2
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.stacks.providers.machine import Machine
from pipeline.stacks.providers.ssm_parameter import parameter_value
from pipeline.stacks.records import Stack
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.stacks import Stacks
from pipeline.testing.fakes.data_plane import FakePlane

OWNER, REGION = "shop", "eu-west-1"
CONTEXT = StackContext(
    f"arn:aws:cloudformation:{REGION}:000000000000:stack/lab/5f3c", "lab", OWNER, REGION, "000000000000"
)
VPC = default_vpc_id(OWNER)
SUBNETS = [each.id for each in default_resources(OWNER, DEFAULT_ZONES) if each.kind is Kind.SUBNET]


class StackMachine:
    """A machine, and what a stack has made on it."""

    def __init__(self, folder: Path) -> None:
        self.endpoint_networks: tuple[str, ...] | None = None
        """What the policy of the owner lists, None without one."""
        self.plane = FakePlane()
        self.balancer = Balancer(folder / "balancer", self.plane)
        networks, certificates = NetworkStore(folder, DEFAULT_ZONES), CertificateStore(folder)
        network = MachineNetwork(Networks(networks), DEFAULT_ZONES, certificates, lambda _: [])
        self.machine = Machine(
            KeptStore(folder), networks, certificates, ParameterStore(folder), self.balancer, network, self._allowed
        )
        self.types = aws_types(self.machine)

    def _allowed(self, _: str) -> tuple[str, ...] | None:
        return self.endpoint_networks

    @property
    def elbv2(self) -> Elbv2:
        """ELBv2's operations of the stack's owner."""
        return self.machine.elbv2(CONTEXT)

    def ec2(self, operation: str, **parameters: Any) -> Any:
        """Carry out an operation of EC2 as a client does."""
        return self.machine.ec2(CONTEXT)(operation, **parameters)

    def provider(self, type_name: str, context: StackContext = CONTEXT) -> ResourceProvider[Any]:
        """Return the provider of a type."""
        return self.types[type_name](context)

    def create(self, type_name: str, token: str, context: StackContext = CONTEXT, /, **properties: Any) -> State:
        """Create a resource whose creation ends at once."""
        provider = self.provider(type_name, context)
        state = provider.create(token, provider.properties.model_validate(properties))
        assert not isinstance(state, Pending)
        return state

    def update(
        self, type_name: str, physical_id: str, before: dict[str, Any], after: dict[str, Any]
    ) -> State | Pending:
        """Update a resource once."""
        provider = self.provider(type_name)
        models = (provider.properties.model_validate(each) for each in (before, after))
        return provider.update(physical_id, *models)

    def load_balancer(self, **properties: Any) -> str:
        """Create a load balancer in both zones. Return its ARN."""
        given = {"Subnets": SUBNETS, **properties}
        return self.create("AWS::ElasticLoadBalancingV2::LoadBalancer", "lab-Edge-AAAAAAAAAAAA", **given).physical_id

    def target_group(self, token: str = "lab-Group-AAAAAAAAAAAA", **properties: Any) -> str:
        """Create a target group of addresses. Return its ARN."""
        given = {"VpcId": VPC, "Port": 8080, "Protocol": "HTTP", "TargetType": "ip", **properties}
        return self.create("AWS::ElasticLoadBalancingV2::TargetGroup", token, **given).physical_id


def forward(*groups: str) -> list[dict[str, Any]]:
    """Return actions that forward to target groups."""
    if len(groups) == 1:
        return [{"Type": "forward", "TargetGroupArn": groups[0]}]
    weighted = [{"TargetGroupArn": group, "Weight": 1} for group in groups]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": weighted}}]


class MachineStacks(StackMachine):
    """A machine with stacks of one owner."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        types = ResourceTypes(self.types)
        lookup = partial(parameter_value, self.machine.parameters)
        zones = [zone.name for zone in DEFAULT_ZONES]
        self.stacks = Stacks(folder / "penstock.db", folder / "locks", lambda _: types, zones, parameters=lookup)

    def create_stack(self, text: str, name: str = "lab", **parameters: str) -> Stack:
        """Create a stack, and wait for it."""
        return self.end(self.stacks.create(OWNER, REGION, name, StackRequest(text, parameters)))

    def update_stack(self, text: str | None, name: str = "lab", **parameters: str) -> Stack:
        """Update a stack, and wait for it."""
        return self.end(self.stacks.update(OWNER, name, StackRequest(text, parameters)))

    def delete_stack(self, name: str = "lab") -> Stack:
        """Delete a stack, and wait for it."""
        stack = self.stacks.find(OWNER, name)
        self.stacks.delete(OWNER, name)
        return self.end(stack)

    def end(self, stack: Stack) -> Stack:
        """Wait for the end of an operation."""
        return self.stacks.wait(stack.id, timedelta(seconds=60))

    def reasons(self, name: str = "lab") -> dict[str, str]:
        """Return the last reason of each resource."""
        stack = self.stacks.find(OWNER, name)
        return {event.logical_id: event.reason for _, event in self.stacks.store.events(stack.id)}

    def failures(self, name: str = "lab") -> list[str]:
        """Return the reasons of all failures."""
        stack = self.stacks.find(OWNER, name)
        events = [event for _, event in self.stacks.store.events(stack.id)]
        return [event.reason for event in events if event.status.endswith("_FAILED")]

    def left(self) -> list[str]:
        """Return what exists beside the default network."""
        defaults = default_resources(OWNER, DEFAULT_ZONES)
        networks = [each.id for each in self.machine.networks.read(OWNER).resources.values() if each not in defaults]
        made = [each.id for kind in self.balancer.registry().by_field().values() for each in kind.values()]
        certificates = [each.id for each in self.machine.certificates.all(OWNER)]
        kept = [each.id for name in self.types for each in self.machine.kept.all(OWNER, name)]
        parameters = [each.name for each in self.machine.parameters.all(OWNER)]
        return [*networks, *made, *certificates, *kept, *parameters]
