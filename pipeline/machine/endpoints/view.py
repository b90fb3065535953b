"""The registry as one call of EC2's API sees it: endpoint services and endpoints by their ids and names in EC2."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.effective_endpoints import EffectiveEndpoint, effective_endpoints
from pipeline.balancer.elbv2.view import View, created_key
from pipeline.balancer.endpoint_resources import EndpointResource, EndpointServiceResource
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import DECLARED, BalancerResource, LoadBalancerResource
from pipeline.network.tags import tag_list

_R = TypeVar("_R", bound=BalancerResource)


@dataclass(frozen=True)
class EndpointView:
    """The endpoint services and endpoints of all owners, as the owner of a call sees them."""

    registry: Registry
    call: Call

    @cached_property
    def services(self) -> list[EndpointServiceResource]:
        """The services of all owners, oldest first."""
        return sorted(self.registry.endpoint_services.values(), key=created_key)

    @cached_property
    def own_services(self) -> list[EndpointServiceResource]:
        """The services of the owner."""
        return [each for each in self.services if each.owner == self.call.owner]

    @cached_property
    def endpoints(self) -> list[EffectiveEndpoint]:
        """The endpoints of the owner, oldest first."""
        own = (each for each in effective_endpoints(self.registry) if each.endpoint.owner == self.call.owner)
        return sorted(own, key=lambda each: created_key(each.endpoint))

    def connections(self, service: EndpointServiceResource) -> list[EffectiveEndpoint]:
        """Return the endpoints of all owners that are connected to a service."""
        return [each for each in effective_endpoints(self.registry) if each.service is service]

    def service(self, service_id: str) -> EndpointServiceResource:
        """Return a service of the owner. Raises `AwsError` for an unknown one."""
        if found := next((each for each in self.own_services if each.service_id == service_id), None):
            return found
        text = f"The VpcEndpointService Id '{service_id}' does not exist"
        raise AwsError("InvalidVpcEndpointServiceId.NotFound", text)

    def service_named(self, name: str) -> EndpointServiceResource:
        """Return a service of any owner by its name in EC2. Raises `AwsError` for an unknown one."""
        if found := next((each for each in self.services if self.service_name(each) == name), None):
            return found
        raise AwsError("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")

    def service_name(self, service: EndpointServiceResource) -> str:
        """Return the name of a service in EC2."""
        return f"com.amazonaws.vpce.{service.kept.get('region', self.call.region)}.{service.service_id}"

    def endpoint(self, endpoint_id: str) -> EffectiveEndpoint:
        """Return an endpoint of the owner. Raises `AwsError` for an unknown one."""
        if found := next((each for each in self.endpoints if each.endpoint.endpoint_id == endpoint_id), None):
            return found
        raise AwsError("InvalidVpcEndpointId.NotFound", f"The Vpc Endpoint Id '{endpoint_id}' does not exist")

    def load_balancer(self, arn: str) -> LoadBalancerResource:
        """Return a gateway load balancer of the owner. Raises `AwsError` for an unknown one and for another type."""
        try:
            found = View.of(self.registry, self.call).load_balancer(arn)
        except AwsError:
            raise AwsError("InvalidParameter", f"The Gateway Load Balancer '{arn}' does not exist") from None
        if found.settings.type != "gateway":
            raise AwsError("InvalidParameter", f"The load balancer '{arn}' is not a Gateway Load Balancer")
        return found

    def arns(self, service: EndpointServiceResource) -> list[str]:
        """Return the ARNs of the load balancers of a service."""
        view = View.of(self.registry, self.call)
        return [view.arn(self.registry.load_balancers[id_]) for id_ in service.settings.load_balancers]

    def zones(self, service: EndpointServiceResource) -> list[str]:
        """Return the zones in which the load balancers of a service are enabled, as clients name them."""
        found = (self.registry.load_balancers[id_] for id_ in service.settings.load_balancers)
        named = (str(subnet["ZoneName"]) for one in found for subnet in _subnets(one) if "ZoneName" in subnet)
        enabled = (self.registry.load_balancers[id_].settings.zones or () for id_ in service.settings.load_balancers)
        return list(dict.fromkeys([*named, *(zone for zones in enabled for zone in zones)]))


def _subnets(balancer: LoadBalancerResource) -> Sequence[Mapping[str, Any]]:
    found = balancer.kept.get("subnets", ())
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, Sequence) else []


def changeable(resource: _R) -> _R:
    """Return a resource that the API may change. Raises `OperationNotPermitted` for one of pipeline.yaml."""
    if resource.made_by == DECLARED:
        reason = f"The {resource.label} is declared in the pipeline.yaml of {resource.owner}; change it there"
        raise AwsError("OperationNotPermitted", reason)
    return resource


def created_at(endpoint: EndpointResource) -> datetime | None:
    """Return when an endpoint was made. Of a declared one, the time of its state is known."""
    if created := endpoint.kept.get("created"):
        return datetime.fromisoformat(str(created))
    return endpoint.connection.since.wall if endpoint.connection else None


def new_resource_id(call: Call, kind: str) -> str:
    """Return the id of a new resource. It is the same for calls with one token."""
    token = call.token or call.parameters.get("ClientToken")
    return hashlib.sha256(f"{call.owner}/{kind}/{token}".encode()).hexdigest()[:16] if token else secrets.token_hex(8)


def unsuccessful(found: Sequence[tuple[str, AwsError]]) -> dict[str, Any]:
    """Return the result of an operation on several resources, with the error of each that it has left as it was."""
    return {
        "Unsuccessful": [
            {"ResourceId": id_, "Error": {"Code": error.code, "Message": error.message}} for id_, error in found
        ]
    }


def described_tags(resource: EndpointServiceResource | EndpointResource) -> list[dict[str, str]]:
    """Return the tags of a resource as EC2 describes them."""
    return tag_list(resource.tags)
