"""EC2's operations on addresses: each is one of this machine's loopback addresses that no zone has."""

from __future__ import annotations

from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.network.describe import ADDRESSES
from pipeline.network.filters import page
from pipeline.network.kinds import Kind, new_id
from pipeline.network.records import elastic_address
from pipeline.network.state import Resource, State
from pipeline.network.tags import tags_of
from pipeline.network.zones import ELASTIC_ADDRESSES

Result = dict[str, Any]


def allocate_address(call: Call, state: State) -> tuple[State, Result]:
    """Allocate an address that a node of a network load balancer can have. No other owner gets the same."""
    if call.parameters.get("Domain", "vpc") != "vpc":
        raise AwsError("InvalidParameterValue", "Domain: there is only the domain 'vpc'")
    taken = {each.data["PublicIp"] for each in state.resources.values() if each.kind is Kind.ADDRESS}
    free = next((str(each) for each in ELASTIC_ADDRESSES.hosts() if str(each) not in taken), None)
    if free is None:
        raise AwsError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    made = elastic_address(new_id(Kind.ADDRESS.prefix, call.token), call.owner, free, tags_of(call, Kind.ADDRESS.label))
    result = {"AllocationId": made.id, "PublicIp": free, "Domain": "vpc", "NetworkBorderGroup": call.region}
    return state.put(made), result


def describe_addresses(call: Call, state: State) -> Result:
    """Describe addresses, also by the address itself."""
    ips = call.parameters.get("PublicIps", ())
    ids = [*call.parameters.get("AllocationIds", ()), *(_by_ip(call, state, ip).id for ip in ips)]
    parameters = {**call.parameters, "AllocationIds": ids}
    return ADDRESSES(Call(call.owner, call.region, parameters, call.request_id, call.account), state)


def describe_attributes(call: Call, state: State) -> Result:
    """Describe the names of addresses in the DNS. None has one."""
    wanted = call.parameters.get("AllocationIds", ())
    found = [state.get(call.owner, Kind.ADDRESS, each) for each in wanted] or state.all(call.owner, Kind.ADDRESS)
    described = [{"PublicIp": each.data["PublicIp"], "AllocationId": each.id} for each in found]
    return page(described, call.parameters, "Addresses")


def release_address(call: Call, state: State, used: frozenset[str]) -> tuple[State, Result]:
    """Release an address. `used`: the addresses that load balancers have."""
    if "AllocationId" in call.parameters:
        found = state.get(call.owner, Kind.ADDRESS, call.parameters["AllocationId"])
    elif "PublicIp" in call.parameters:
        found = _by_ip(call, state, call.parameters["PublicIp"])
    else:
        raise AwsError("MissingParameter", "The request must contain the parameter allocationId")
    if found.data["PublicIp"] in used:
        raise AwsError("InvalidIPAddress.InUse", f"Address {found.data['PublicIp']} is in use.")
    return state.remove(found), {}


def _by_ip(call: Call, state: State, ip: str) -> Resource:
    found = state.all(call.owner, Kind.ADDRESS, lambda data: data["PublicIp"] == ip)
    if not found:
        raise AwsError("InvalidAddress.NotFound", f"Address '{ip}' not found.")
    return found[0]
