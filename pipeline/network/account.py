"""EC2's operations that describe the machine: its zones, and attributes of the account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.network.defaults import default_vpc_id
from pipeline.network.filters import matching
from pipeline.network.zones import Zone, find_zone

_PATHS = {
    "zone-name": "ZoneName",
    "zone-id": "ZoneId",
    "zone-type": "ZoneType",
    "region-name": "RegionName",
    "group-name": "GroupName",
    "state": "State",
    "opt-in-status": "OptInStatus",
}


def describe_zones(call: Call, zones: Sequence[Zone]) -> dict[str, Any]:
    """Describe the declared zones. One that is asked for by a name of AWS is described by that name."""
    asked = call.parameters.get("ZoneNames", ()) or [zone.name for zone in zones]
    described = [_described(call, zones, name) for name in asked]
    if ids := call.parameters.get("ZoneIds", ()):
        described = [each for each in described if each["ZoneId"] in ids]
    return {"AvailabilityZones": matching(described, call.parameters.get("Filters", ()), _PATHS)}


def describe_account(call: Call) -> dict[str, Any]:
    """Describe the attributes of the account that mean something here."""
    values = {"supported-platforms": "VPC", "default-vpc": default_vpc_id(call.owner)}
    wanted = call.parameters.get("AttributeNames", ()) or values
    attributes = [{"AttributeName": name, "AttributeValues": [{"AttributeValue": values[name]}]} for name in wanted]
    return {"AccountAttributes": attributes}


def _described(call: Call, zones: Sequence[Zone], name: str) -> dict[str, Any]:
    zone = find_zone(zones, name)
    if zone is None:
        raise AwsError("InvalidParameterValue", f"Invalid availability zone: [{name}]")
    return {
        "ZoneName": name,
        "ZoneId": f"local-az{zones.index(zone) + 1}",
        "ZoneType": "availability-zone",
        "RegionName": call.region,
        "GroupName": call.region,
        "NetworkBorderGroup": call.region,
        "State": "available",
        "OptInStatus": "opt-in-not-required",
        "Messages": [],
    }
