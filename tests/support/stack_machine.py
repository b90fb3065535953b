"""A machine for providers of AWS's types: its files in a folder, and a data plane in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.aws.service import Call
from pipeline.balancer.balancer import Balancer
from pipeline.base.home import Home
from pipeline.certificates.store import CertificateStore
from pipeline.network.defaults import default_resources, default_vpc_id
from pipeline.network.kinds import Kind
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.stacks.provider import Pending, ResourceProvider, StackContext, State
from pipeline.stacks.providers.aws_types import aws_types
from pipeline.stacks.providers.elbv2.client import Elbv2
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.stacks.providers.machine import Machine
from pipeline.stacks.providers.machine_network import MachineNetwork
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
        self.plane = FakePlane()
        self.balancer = Balancer(folder / "balancer", self.plane)
        networks, certificates = NetworkStore(folder, DEFAULT_ZONES), CertificateStore(folder)
        network = MachineNetwork(Home(folder), networks, certificates)
        self.machine = Machine(KeptStore(folder), networks, certificates, lambda: self.balancer, network)
        self.types = aws_types(self.machine)

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


def call(**parameters: Any) -> Call:
    """Return a call of the stack's owner."""
    return Call(OWNER, REGION, parameters)


def forward(*groups: str) -> list[dict[str, Any]]:
    """Return actions that forward to target groups."""
    if len(groups) == 1:
        return [{"Type": "forward", "TargetGroupArn": groups[0]}]
    weighted = [{"TargetGroupArn": group, "Weight": 1} for group in groups]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": weighted}}]
