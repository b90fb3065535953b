"""EC2's operations on who may use an endpoint service. All owners of a home are one account, which always may. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.endpoint_resources import EndpointServiceResource
from pipeline.balancer.registry import Registry
from pipeline.machine.endpoints.view import EndpointView, changeable
from pipeline.network.filters import matching, page

Result = dict[str, Any]

_KEPT = "allowed_principals"
_EVERYONE = "*"
_ARN = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):(root|user/.+|role/.+)")
_TYPES = {"root": "Account", "user": "User", "role": "Role"}
_PATHS = {"principal": "Principal", "principal-type": "PrincipalType"}


def describe(call: Call, registry: Registry) -> Result:
    """DescribeVpcEndpointServicePermissions."""
    service = EndpointView(registry, call).service(call.parameters["ServiceId"])
    found = [{**_described(service, each), "Tags": []} for each in _principals(service)]
    return page(matching(found, call.parameters.get("Filters", ()), _PATHS), call.parameters, "AllowedPrincipals")


def modify(call: Call, registry: Registry) -> tuple[Registry, Result]:
    """ModifyVpcEndpointServicePermissions. They are kept, and limit nothing: see the module."""
    service = changeable(EndpointView(registry, call).service(call.parameters["ServiceId"]))
    known, added = _principals(service), call.parameters.get("AddAllowedPrincipals", ())
    removed = set(call.parameters.get("RemoveAllowedPrincipals", ()))
    for principal in added:
        _check(call, principal)
    left = [each for each in dict.fromkeys((*known, *added)) if each not in removed]
    after = service.model_copy(update={"kept": {**service.kept, _KEPT: left}})
    new = [_described(after, each) for each in left if each not in known]
    return registry.put(after), {"AddedPrincipals": new, "ReturnValue": True}


def _principals(service: EndpointServiceResource) -> list[str]:
    kept = service.kept.get(_KEPT)
    return [str(each) for each in kept] if isinstance(kept, list) else []


def _check(call: Call, principal: str) -> None:
    found = _ARN.fullmatch(principal)
    if principal == _EVERYONE or (found and found[1] == call.account):
        return
    if found:
        reason = f"{principal} is of another account; all owners of this machine are account {call.account}"
        raise AwsError("UnsupportedOperation", reason)
    raise AwsError("InvalidParameterValue", f"Invalid principal {principal}: give the ARN of an account, user or role")


def _described(service: EndpointServiceResource, principal: str) -> Result:
    found = _ARN.fullmatch(principal)
    digest = hashlib.sha256(f"{service.service_id} {principal}".encode()).hexdigest()
    return {
        "PrincipalType": _TYPES[found[2].partition("/")[0]] if found else "All",
        "Principal": principal,
        "ServicePermissionId": f"vpce-svc-perm-{digest[:17]}",
        "ServiceId": service.service_id,
    }
