"""What is in the networks: nodes of load balancers as network interfaces, and containers as instances.

Their packages lie above this one, so they are given as functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.network.filters import matching, page
from pipeline.network.kinds import Kind
from pipeline.network.state import State
from pipeline.network.tags import tag_list

_INTERFACE_PATHS = {
    "network-interface-id": "NetworkInterfaceId",
    "description": "Description",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
    "availability-zone": "AvailabilityZone",
    "group-id": "Groups.GroupId",
    "private-ip-address": "PrivateIpAddress",
    "addresses.private-ip-address": "PrivateIpAddresses.PrivateIpAddress",
    "attachment.instance-owner-id": "Attachment.InstanceOwnerId",
    "attachment.status": "Attachment.Status",
    "requester-id": "RequesterId",
    "requester-managed": "RequesterManaged",
    "interface-type": "InterfaceType",
    "status": "Status",
    "owner-id": "OwnerId",
}
_INSTANCE_PATHS = {
    "instance-id": "InstanceId",
    "instance-state-name": "State.Name",
    "instance-state-code": "State.Code",
    "image-id": "ImageId",
    "private-ip-address": "PrivateIpAddress",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
    "availability-zone": "Placement.AvailabilityZone",
}
# Docker's states, and EC2's names and codes for them.
_STATES = {
    "created": ("pending", 0),
    "running": ("running", 16),
    "restarting": ("running", 16),
    "paused": ("running", 16),
    "removing": ("shutting-down", 32),
    "exited": ("stopped", 80),
    "dead": ("terminated", 48),
}


@dataclass(frozen=True)
class Interface:
    """The node of a load balancer in a subnet. `description` is as AWS writes it: `ELB app/web/50dc6c495c0c9188`."""

    id: str
    description: str
    subnet_id: str
    address: str
    groups: tuple[str, ...] = ()
    is_network: bool = False


@dataclass(frozen=True)
class Instance:
    """A container. `id` is its name, by which it can be registered as a target. `state` is Docker's."""

    id: str
    image: str
    address: str
    state: str
    started: datetime
    zone: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


Interfaces = Callable[[str], Sequence[Interface]]
"""Returns the interfaces of an owner's load balancers."""

Instances = Callable[[str], Sequence[Instance]]
"""Returns an owner's containers. Raises `EngineFault`."""


def describe_interfaces(call: Call, state: State, interfaces: Interfaces) -> dict[str, Any]:
    """Describe the interfaces of load balancers."""
    described = [_interface(call, state, each) for each in interfaces(call.owner)]
    if wanted := call.parameters.get("NetworkInterfaceIds", ()):
        described = _by_id(
            described, wanted, "NetworkInterfaceId", "InvalidNetworkInterfaceID.NotFound", "networkInterface ID"
        )
    selected = matching(described, call.parameters.get("Filters", ()), _INTERFACE_PATHS)
    return page(selected, call.parameters, "NetworkInterfaces")


def describe_instances(call: Call, state: State, instances: Instances) -> dict[str, Any]:
    """Describe the containers of the owner. Each is in a reservation of its own."""
    described = [_instance(call, state, each) for each in instances(call.owner)]
    if wanted := call.parameters.get("InstanceIds", ()):
        described = _by_id(described, wanted, "InstanceId", "InvalidInstanceID.NotFound", "instance ID")
    selected = matching(described, call.parameters.get("Filters", ()), _INSTANCE_PATHS)
    reservations = [
        {"ReservationId": f"r-{each['InstanceId']}", "OwnerId": call.account, "Groups": [], "Instances": [each]}
        for each in selected
    ]
    return page(reservations, call.parameters, "Reservations")


def _by_id(
    described: Sequence[dict[str, Any]], wanted: Sequence[str], name: str, code: str, noun: str
) -> list[dict[str, Any]]:
    found = {each[name]: each for each in described}
    for each in wanted:
        if each not in found:
            raise AwsError(code, f"The {noun} '{each}' does not exist")
    return [found[each] for each in dict.fromkeys(wanted)]


def _interface(call: Call, state: State, interface: Interface) -> dict[str, Any]:
    # The subnet of a zone that is not declared any more does not exist, and its load balancer still does.
    subnet = state.find(call.owner, Kind.SUBNET, interface.subnet_id)
    place = {name: subnet.data[name] for name in ("VpcId", "AvailabilityZone")} if subnet else {}
    groups = [state.find(call.owner, Kind.SECURITY_GROUP, each) for each in interface.groups]
    return {
        "NetworkInterfaceId": interface.id,
        "Description": interface.description,
        "SubnetId": interface.subnet_id,
        **place,
        "Groups": [{"GroupId": each.id, "GroupName": each.data["GroupName"]} for each in groups if each],
        "PrivateIpAddress": interface.address,
        "PrivateIpAddresses": [{"PrivateIpAddress": interface.address, "Primary": True}],
        "InterfaceType": "network_load_balancer" if interface.is_network else "interface",
        "Attachment": {"InstanceOwnerId": "amazon-elb", "Status": "attached", "DeleteOnTermination": False},
        "RequesterId": "amazon-elb",
        "RequesterManaged": True,
        "Status": "in-use",
        "OwnerId": call.account,
        "TagSet": [],
    }


def _instance(call: Call, state: State, instance: Instance) -> dict[str, Any]:
    subnets = state.all(call.owner, Kind.SUBNET, lambda data: data["DefaultForAz"])
    subnet = next((each for each in subnets if each.data["AvailabilityZone"] == instance.zone), subnets[0])
    name, code = _STATES.get(instance.state, ("pending", 0))
    return {
        "InstanceId": instance.id,
        "ImageId": instance.image,
        "State": {"Name": name, "Code": code},
        "LaunchTime": instance.started,
        "Placement": {"AvailabilityZone": subnet.data["AvailabilityZone"]},
        "SubnetId": subnet.id,
        "VpcId": subnet.data["VpcId"],
        "Tags": tag_list({"Name": instance.id, **instance.tags}),
        **({"PrivateIpAddress": instance.address} if instance.address else {}),
    }
