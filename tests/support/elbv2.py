"""ELBv2's operations over a fake data plane and a fake network, as a client calls them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import botocore.session
from botocore.model import ListShape, ServiceModel, Shape, StructureShape

from pipeline.aws.service import Call
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.network import Endpoint, Subnet
from pipeline.balancer.elbv2.service import elbv2_service
from pipeline.balancer.model.tls import Certificate
from pipeline.testing.fakes.data_plane import FakePlane

REGION, OWNER, VPC = "us-east-1", "shop", "vpc-1"
SUBNETS = ["subnet-a", "subnet-b"]


class FakeNetwork:
    """A VPC with a subnet in each of three zones, and what a test adds. An address of a zone may be a prefix."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or ("127.0.0.1", "127.0.0.2", "127.0.0.3")
        self.certificates: dict[str, Certificate] = {}
        self.instances: dict[str, str] = {}

    def holding(self) -> AbstractContextManager[None]:
        return nullcontext()

    def subnet(self, owner: str, id_: str) -> Subnet | None:
        letter = id_.removeprefix("subnet-")
        number = "abc".find(letter)
        if not letter or number < 0:
            return None
        return Subnet(id_, VPC, f"{REGION}{letter}", f"local-{letter}", ip_network(self.addresses[number]))

    def zone(self, name: str) -> str | None:
        return f"local-{name[-1]}" if name[-1] in "abc" else None

    def has_vpc(self, owner: str, id_: str) -> bool:
        return id_ == VPC

    def has_security_group(self, owner: str, id_: str) -> bool:
        return id_.startswith("sg-")

    def address(self, owner: str, allocation: str) -> str | None:
        return "127.64.0.1" if allocation.startswith("eipalloc-") else None

    def certificate(self, owner: str, arn: str) -> Certificate | None:
        return self.certificates.get(arn)

    def instance(self, owner: str, id_: str, port: int) -> Endpoint | None:
        address = self.instances.get(id_)
        return Endpoint(address, port) if address else None

    def function(self, owner: str, name: str) -> Endpoint | None:
        return self.instance(owner, name, 8080)


class Elbv2:
    """A client of one owner. A call is `elbv2("CreateRule", Priority=1, ...)`.

    It checks that botocore's model has every member of the result, with its type.
    """

    def __init__(
        self, balancer: Balancer, network: FakeNetwork | None = None, owner: str = OWNER, maker: str = "api"
    ) -> None:
        self.balancer = balancer
        self.network = network or FakeNetwork()
        self._owner = owner
        self._operations = elbv2_service(Api(balancer, self.network, maker)).operations

    def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        result = dict(self._operations[operation](Call(self._owner, REGION, parameters)))
        _check(_output_shape(operation), result, operation)
        return result

    # What many tests need

    def load_balancer(self, name: str = "edge", **given: Any) -> str:
        """Create a load balancer. Return its ARN."""
        parameters = {"Name": name, "Subnets": SUBNETS, **given}
        return str(self("CreateLoadBalancer", **parameters)["LoadBalancers"][0]["LoadBalancerArn"])

    def target_group(self, name: str = "web", **given: Any) -> str:
        """Create a target group. Return its ARN."""
        parameters = {"Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": VPC, "TargetType": "ip", **given}
        return str(self("CreateTargetGroup", **parameters)["TargetGroups"][0]["TargetGroupArn"])

    def listener(self, balancer: str, group: str, port: int = 18080, **given: Any) -> str:
        """Create a listener that forwards to a target group. Return its ARN."""
        parameters = {"Protocol": "HTTP", "Port": port, "DefaultActions": [forward(group)], **given}
        return str(self("CreateListener", LoadBalancerArn=balancer, **parameters)["Listeners"][0]["ListenerArn"])

    def rule(self, listener: str, group: str, priority: int, path: str = "/*") -> str:
        """Create a rule that forwards a path to a target group. Return its ARN."""
        conditions = [{"Field": "path-pattern", "Values": [path]}]
        made = self(
            "CreateRule", ListenerArn=listener, Priority=priority, Conditions=conditions, Actions=[forward(group)]
        )
        return str(made["Rules"][0]["RuleArn"])

    def states(self, group: str) -> dict[str, str]:
        """Return the state of each target of a group by its id."""
        found = self("DescribeTargetHealth", TargetGroupArn=group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in found}


def fake_elbv2(folder: Path) -> Elbv2:
    """Return a client over a fake data plane."""
    return Elbv2(Balancer(folder, FakePlane()))


def forward(group: str) -> dict[str, Any]:
    """Return an action that forwards to a target group."""
    return {"Type": "forward", "TargetGroupArn": group}


def attributes(found: Mapping[str, Any]) -> dict[str, str]:
    """Return attributes in AWS's shape as a dictionary."""
    return {one["Key"]: one["Value"] for one in found["Attributes"]}


def _output_shape(operation: str) -> Shape | None:
    return _model().operation_model(operation).output_shape


@cache
def _model() -> ServiceModel:
    return botocore.session.get_session().get_service_model("elbv2")


def _check(shape: Shape | None, value: Any, place: str) -> None:
    if isinstance(shape, StructureShape):
        for name, member in value.items():
            assert name in shape.members, f"{place}.{name} is not in the model"
            _check(shape.members[name], member, f"{place}.{name}")
    elif isinstance(shape, ListShape):
        for item in value:
            _check(shape.member, item, place)
    elif shape is not None and shape.type_name in _TYPES:
        assert isinstance(value, _TYPES[shape.type_name]), f"{place} is {value!r}"


_TYPES: dict[str, type] = {"string": str, "integer": int, "long": int, "boolean": bool}
