"""Load balancers: create, describe, delete, and their subnets, security groups and address type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api, checked
from pipeline.balancer.elbv2.limits import LIMITS, check_limit
from pipeline.balancer.elbv2.pages import page
from pipeline.balancer.elbv2.placement import placement, without_own_addresses
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model.application.load_balancer import LoadBalancerSettings
from pipeline.balancer.model.gateway.load_balancer import GatewayLoadBalancerSettings
from pipeline.balancer.model.network.load_balancer import NetworkLoadBalancerSettings
from pipeline.balancer.names.directory import DOMAIN
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import LoadBalancerResource

Result = Mapping[str, Any]
_Change = tuple[Mapping[str, Any], Mapping[str, Any]]
# AWS has one for each region and type. Clients only compare it.
_ZONE_ID = "Z00PENSTOCK"
_SETTINGS: Mapping[str, type[LoadBalancerSettings | NetworkLoadBalancerSettings | GatewayLoadBalancerSettings]] = {
    "application": LoadBalancerSettings,
    "network": NetworkLoadBalancerSettings,
    "gateway": GatewayLoadBalancerSettings,
}
_PAGE = 50


def create_load_balancer(api: Api, call: Call) -> Result:
    """CreateLoadBalancer. The same call again returns what it made."""
    given = call.parameters
    kind = given.get("Type", "application")
    _check_name(given["Name"])
    _check_supported(given, kind)
    places = placement(api, call, has_addresses=kind != "gateway")
    groups = _security_groups(api, call, given.get("SecurityGroups", ()))
    kept: dict[str, Any] = {"vpc": places.vpc, "security_groups": groups}
    fields = api.new(call, region=call.region, ip_address_type=given.get("IpAddressType", "ipv4"), **kept)
    model = _settings(given, kind)

    def change(view: View) -> Registry:
        mapped = places.mapped(view.registry, call.owner, given["Name"])
        made = LoadBalancerResource(
            **{**fields, "kept": {**fields["kept"], "subnets": mapped}},
            name=given["Name"],
            settings=checked(_SETTINGS[kind], {**model, "zones": places.zones(mapped)}),
        )
        return _created(view, made)

    view = api.change(call, change)
    found = next(one for one in view.load_balancers if one.name == given["Name"])
    shown = shown_load_balancer(view, found)
    return {"LoadBalancers": [{**shown, "State": {"Code": "provisioning"}} if found.id == fields["id"] else shown]}


def _created(view: View, made: LoadBalancerResource) -> Registry:
    """Return the registry with a new load balancer, or unchanged if it has the same one already."""
    known = next((one for one in view.load_balancers if one.name == made.name), None)
    if known is None:
        check_limit(LIMITS.load_balancers, len(view.load_balancers))
        return view.registry.put(made)
    if not _is_same(known, made):
        reason = f"A load balancer with the same name '{made.name}' exists, but with different settings"
        raise AwsError("DuplicateLoadBalancerName", reason)
    return view.registry


def _settings(given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the settings of a new load balancer, without its zones."""
    if kind == "gateway":
        return {"type": kind}
    # ELB's default of the attribute, which differs from that of pipeline.yaml.
    attributes = {"zonal_shift.config.enabled": False}
    return {"type": kind, "scheme": given.get("Scheme", "internet-facing"), "attributes": attributes}


def _check_name(name: str) -> None:
    if len(name) > 32:
        raise AwsError("ValidationError", f"The load balancer name '{name}' cannot be longer than '32' characters")
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        allowed = "can only contain characters that are alphanumeric characters and hyphens(-)"
        raise AwsError("ValidationError", f"The load balancer name '{name}' {allowed}")
    if name[0] == "-" or name[-1] == "-":
        raise AwsError("ValidationError", f"The load balancer name '{name}' cannot begin or end with '-'")
    if name.startswith("internal-"):
        raise AwsError("ValidationError", f"The load balancer name '{name}' cannot begin with 'internal-'")


def _check_supported(given: Mapping[str, Any], kind: str) -> None:
    if kind not in _SETTINGS:
        raise AwsError("ValidationError", f"Load balancer type '{kind}' must be one of '{', '.join(_SETTINGS)}'")
    if kind == "gateway":
        for name, noun in (("Scheme", "A scheme"), ("SecurityGroups", "Security groups")):
            if given.get(name):
                raise AwsError("ValidationError", f"{noun} cannot be specified for gateway load balancers")
    for name in ("CustomerOwnedIpv4Pool", "IpamPools", "EnablePrefixForIpv6SourceNat"):
        if given.get(name, "off") not in ("off", {}):
            reason = f"{name} is not supported: this machine has its own addresses"
            raise AwsError("InvalidConfigurationRequest", reason)


def _security_groups(api: Api, call: Call, given: Sequence[str]) -> list[str]:
    for id_ in given:
        if not api.network.has_security_group(call.owner, id_):
            raise AwsError("InvalidSecurityGroup", f"Security group '{id_}' does not exist")
    return list(given)


def _is_same(known: LoadBalancerResource, made: LoadBalancerResource) -> bool:
    """Return whether a load balancer was created by the same call. Attributes may have changed since."""
    same = all(getattr(known.settings, name, None) == getattr(made.settings, name, None) for name in ("type", "scheme"))
    return same and _asked(known) == _asked(made)


def _asked(one: LoadBalancerResource) -> dict[str, Any]:
    """Return what is kept of a creation, without what does not come from its parameters.

    The zones follow from the subnets, and their addresses from what the daemon was started with.
    """
    kept: dict[str, Any] = {k: v for k, v in one.kept.items() if k not in ("created", "region")}
    return {**kept, "subnets": without_own_addresses(kept.get("subnets", ()))}


def describe_load_balancers(api: Api, call: Call) -> Result:
    """DescribeLoadBalancers."""
    view, given = api.view(call), call.parameters
    if arns := given.get("LoadBalancerArns"):
        found = [view.load_balancer(arn) for arn in arns]
    elif names := given.get("Names"):
        by_name = {one.name: one for one in view.load_balancers}
        if missing := [name for name in names if name not in by_name]:
            raise AwsError("LoadBalancerNotFound", f"Load balancers '[{', '.join(missing)}]' not found")
        found = [by_name[name] for name in names]
    else:
        found = view.load_balancers
    found = sorted(found, key=lambda one: one.name)
    shown, more = page(found, {"PageSize": _PAGE, **given}, lambda one: one.name)
    return {"LoadBalancers": [shown_load_balancer(view, one) for one in shown], **more}


def delete_load_balancer(api: Api, call: Call) -> Result:
    """DeleteLoadBalancer, with its listeners. Does nothing if it does not exist."""
    arn = call.parameters["LoadBalancerArn"]

    def change(view: View) -> Registry:
        try:
            found = view.changeable(view.load_balancer(arn))
        except AwsError as error:
            if error.code == "LoadBalancerNotFound":
                return view.registry
            raise
        if found.settings.attributes.deletion_protection:
            reason = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
            raise AwsError("OperationNotPermitted", reason)
        if any(getattr(one.settings, "load_balancer", None) == found.name for one in view.target_groups):
            raise AwsError("ResourceInUse", f"Load balancer '{arn}' is currently the target of a target group")
        if any(found.id in one.settings.load_balancers for one in view.registry.endpoint_services.values()):
            reason = f"Load balancer '{arn}' cannot be deleted because it is currently associated with another service"
            raise AwsError("ResourceInUse", reason)
        below = [id_ for listener in view.listeners(found) for id_ in listener_ids(view, listener)]
        return view.registry.drop(found.id, *below)

    api.change(call, change)
    return {}


def listener_ids(view: View, listener: Any) -> list[str]:
    """Return the ids of a listener, its rules and its certificates."""
    return [listener.id, *(r.id for r in view.rules(listener)), *(c.id for c in view.certificates(listener))]


def set_subnets(api: Api, call: Call) -> Result:
    """SetSubnets: enable the load balancer in the zones of these subnets, and in no others."""
    _check_supported(call.parameters, "application")
    kind = api.view(call).load_balancer(call.parameters["LoadBalancerArn"]).settings.type
    places = placement(api, call, has_addresses=kind != "gateway")
    other = {"vpc": places.vpc}
    if "IpAddressType" in call.parameters:
        other["ip_address_type"] = call.parameters["IpAddressType"]

    def change(view: View, known: LoadBalancerResource) -> _Change:
        mapped = places.mapped(view.registry, known.owner, known.name)
        return {"zones": places.zones(mapped)}, {**other, "subnets": mapped}

    found, view = _changed(api, call, change)
    shown = shown_load_balancer(view, found)
    return {name: shown[name] for name in ("AvailabilityZones", "IpAddressType")}


def set_security_groups(api: Api, call: Call) -> Result:
    """SetSecurityGroups. They are kept and reported, and limit nothing: the machine's firewall does."""
    groups = _security_groups(api, call, call.parameters["SecurityGroups"])
    if api.view(call).load_balancer(call.parameters["LoadBalancerArn"]).settings.type == "gateway":
        reason = "Security groups are not supported for load balancers with type 'gateway'"
        raise AwsError("InvalidConfigurationRequest", reason)
    _changed(api, call, lambda *_: ({}, {"security_groups": groups}))
    return {"SecurityGroupIds": groups}


def set_ip_address_type(api: Api, call: Call) -> Result:
    """SetIpAddressType. It is kept and reported: the addresses of the zones decide."""
    kind = call.parameters["IpAddressType"]
    _changed(api, call, lambda *_: ({}, {"ip_address_type": kind}))
    return {"IpAddressType": kind}


def _changed(
    api: Api, call: Call, change: Callable[[View, LoadBalancerResource], _Change]
) -> tuple[LoadBalancerResource, View]:
    """Change some settings of a load balancer, and of what is kept with it."""
    arn = call.parameters["LoadBalancerArn"]

    def changed(view: View) -> Registry:
        known = view.changeable(view.load_balancer(arn))
        settings, kept = change(view, known)
        values = {name: getattr(known.settings, name) for name in known.settings.model_fields_set}
        update = {
            "settings": checked(type(known.settings), {**values, **settings}),
            "kept": {**known.kept, **kept},
        }
        return view.registry.put(known.model_copy(update=update))

    view = api.change(call, changed)
    return view.load_balancer(arn), view


def shown_load_balancer(view: View, found: LoadBalancerResource) -> dict[str, Any]:
    """Return a load balancer in AWS's shape."""
    kept: Mapping[str, Any] = found.kept
    subnets = dict(zip(found.settings.zones or (), kept.get("subnets", ()), strict=False))
    shown = {
        "LoadBalancerArn": view.arn(found),
        **_shown_address(found),
        "LoadBalancerName": found.name,
        "State": {"Code": "active"},
        "Type": found.settings.type,
        "AvailabilityZones": [_shown_zone(zone, subnets.get(zone, {})) for zone in found.settings.zones or ()],
        "IpAddressType": kept.get("ip_address_type", "ipv4"),
    }
    if "created" in kept:
        shown["CreatedTime"] = datetime.fromisoformat(kept["created"])
    if "vpc" in kept:
        shown["VpcId"] = kept["vpc"]
    if found.settings.type == "application" or kept.get("security_groups"):
        shown["SecurityGroups"] = kept.get("security_groups", [])
    return shown


def _shown_address(found: LoadBalancerResource) -> dict[str, Any]:
    """Return how clients reach a load balancer. None reaches a gateway load balancer."""
    if isinstance(found.settings, GatewayLoadBalancerSettings):
        return {}
    return {
        "DNSName": f"{found.name}.{found.owner}.{DOMAIN}".lower(),
        "CanonicalHostedZoneId": _ZONE_ID,
        "Scheme": found.settings.scheme,
    }


def _shown_zone(zone: str, mapping: Mapping[str, str]) -> dict[str, Any]:
    allocated = {name: mapping[name] for name in ("IpAddress", "AllocationId") if name in mapping}
    subnet = {name: mapping[name] for name in ("ZoneName", "SubnetId") if name in mapping}
    return {"ZoneName": zone, **subnet, **({"LoadBalancerAddresses": [allocated]} if allocated else {})}
