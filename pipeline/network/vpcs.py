"""EC2's operations on VPCs and subnets. Each is a pure function from a call and the state to the next state."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.network.describe import describe_subnet, describe_vpc
from pipeline.network.kinds import Kind, new_id
from pipeline.network.records import main_route_table, security_group, subnet, vpc
from pipeline.network.state import Resource, State
from pipeline.network.tags import tags_of
from pipeline.network.zones import Zone, find_zone

_SIZES = range(16, 29)
Result = dict[str, Any]


def create_vpc(call: Call, state: State) -> tuple[State, Result]:
    """Make a VPC with its main route table and its default security group."""
    if call.parameters.get("InstanceTenancy", "default") != "default":
        raise AwsError("InvalidParameterValue", "InstanceTenancy: there is only the tenancy 'default' here")
    cidr = str(_network(call, "InvalidVpc.Range"))
    made = vpc(new_id(Kind.VPC.prefix, call.token), call.owner, cidr, tags_of(call, Kind.VPC.label))
    table = main_route_table(new_id(Kind.ROUTE_TABLE.prefix, call.token), call.owner, made.id, cidr)
    group_id = new_id(Kind.SECURITY_GROUP.prefix, call.token)
    group = security_group(group_id, call.owner, made.id, "default", "default VPC security group")
    return state.put(made, table, group), {"Vpc": describe_vpc(call, made)}


def delete_vpc(call: Call, state: State) -> tuple[State, Result]:
    """Delete a VPC that contains nothing but what was made with it."""
    found = state.get(call.owner, Kind.VPC, call.parameters["VpcId"])
    _check_not_default(found, found.data["IsDefault"])
    own, others = [found], False
    for kind in (Kind.SUBNET, Kind.SECURITY_GROUP, Kind.ROUTE_TABLE):
        for each in state.all(call.owner, kind, lambda data: data["VpcId"] == found.id):
            if _belongs_to_vpc(each):
                own.append(each)
            else:
                others = True
    gateways = state.all(call.owner, Kind.INTERNET_GATEWAY)
    if others or any(each["VpcId"] == found.id for gateway in gateways for each in gateway.data["Attachments"]):
        raise AwsError("DependencyViolation", f"The vpc '{found.id}' has dependencies and cannot be deleted.")
    return state.remove(*own), {}


def describe_vpc_attribute(call: Call, state: State) -> Result:
    """Describe one attribute of a VPC."""
    found = state.get(call.owner, Kind.VPC, call.parameters["VpcId"])
    name = call.parameters["Attribute"]
    member = name[0].upper() + name[1:]
    return {"VpcId": found.id, member: {"Value": found.data["Attributes"][member]}}


def modify_vpc_attribute(call: Call, state: State) -> tuple[State, Result]:
    """Change attributes of a VPC. They are kept, and have no effect: names of hosts do not depend on them."""
    found = state.get(call.owner, Kind.VPC, call.parameters["VpcId"])
    changes = {key: value.get("Value", False) for key, value in call.parameters.items() if key != "VpcId"}
    return state.put(found.with_data(Attributes={**found.data["Attributes"], **changes})), {}


def create_subnet(call: Call, state: State, zones: Sequence[Zone]) -> tuple[State, Result]:
    """Make a subnet in a VPC. Without a zone, it is in the one with the fewest subnets of the VPC."""
    parent = state.get(call.owner, Kind.VPC, call.parameters["VpcId"])
    network = _network(call, "InvalidSubnet.Range")
    if not network.subnet_of(IPv4Network(parent.data["CidrBlock"])):
        raise AwsError("InvalidSubnet.Range", f"The CIDR '{network}' is invalid.")
    siblings = state.all(call.owner, Kind.SUBNET, lambda data: data["VpcId"] == parent.id)
    if any(network.overlaps(IPv4Network(each.data["CidrBlock"])) for each in siblings):
        raise AwsError("InvalidSubnet.Conflict", f"The CIDR '{network}' conflicts with another subnet")
    zone = _zone_name(call, siblings, zones)
    tags = tags_of(call, Kind.SUBNET.label)
    subnet_id = new_id(Kind.SUBNET.prefix, call.token)
    made = subnet(subnet_id, call.owner, parent.id, str(network), zone, tags)
    return state.put(made), {"Subnet": describe_subnet(call, made)}


def delete_subnet(call: Call, state: State, used: frozenset[str]) -> tuple[State, Result]:
    """Delete a subnet. `used`: the subnets that load balancers and endpoints are in."""
    found = state.get(call.owner, Kind.SUBNET, call.parameters["SubnetId"])
    _check_not_default(found, found.data["DefaultForAz"])
    if found.id in used:
        raise AwsError("DependencyViolation", f"The subnet '{found.id}' has dependencies and cannot be deleted.")
    tables = [
        table.with_data(Associations=[each for each in table.data["Associations"] if each.get("SubnetId") != found.id])
        for table in state.all(call.owner, Kind.ROUTE_TABLE)
    ]
    return state.remove(found).put(*tables), {}


def modify_subnet_attribute(call: Call, state: State) -> tuple[State, Result]:
    """Change whether instances of a subnet get public addresses. It is kept, and has no effect."""
    found = state.get(call.owner, Kind.SUBNET, call.parameters["SubnetId"])
    changes = {key: value.get("Value", False) for key, value in call.parameters.items() if key != "SubnetId"}
    return state.put(found.with_data(**changes)), {}


def _network(call: Call, code: str) -> IPv4Network:
    text = call.parameters.get("CidrBlock")
    if text is None:
        raise AwsError("MissingParameter", "The request must contain the parameter CidrBlock")
    try:
        found = IPv4Network(text)
    except ValueError:
        raise AwsError("InvalidParameterValue", f"Value ({text}) for parameter cidrBlock is invalid.") from None
    if found.prefixlen not in _SIZES:
        raise AwsError(code, f"The CIDR '{text}' is invalid.")
    return found


def _zone_name(call: Call, siblings: Sequence[Resource], zones: Sequence[Zone]) -> str:
    name = call.parameters.get("AvailabilityZone")
    if name is None:
        used = [each.data["AvailabilityZone"] for each in siblings]
        return min(zones, key=lambda zone: used.count(zone.name)).name
    if find_zone(zones, name) is None:
        names = ", ".join(zone.name for zone in zones)
        raise AwsError(
            "InvalidParameterValue",
            f"Value ({name}) for parameter availabilityZone is invalid. "
            f"Subnets can currently only be created in the following availability zones: {names}.",
        )
    return str(name)


def _belongs_to_vpc(resource: Resource) -> bool:
    """Return whether a resource was made with its VPC."""
    if resource.kind is Kind.SECURITY_GROUP:
        return bool(resource.data["GroupName"] == "default")
    return resource.kind is Kind.ROUTE_TABLE and any(each["Main"] for each in resource.data["Associations"])


def _check_not_default(resource: Resource, is_default: bool) -> None:
    if is_default:
        text = f"{resource.id} stands for what is declared with --zone. It exists always."
        raise AwsError("OperationNotPermitted", text)
