"""EC2's operations on endpoint services and endpoints, over the balancer of a home."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call, Operation
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.endpoint_resources import EndpointResource, EndpointServiceResource, EndpointState
from pipeline.balancer.registry import Registry
from pipeline.machine.endpoints import connections, endpoints, permissions, services
from pipeline.machine.endpoints.connections import Decide
from pipeline.machine.endpoints.networks import AllowedNetworks
from pipeline.machine.endpoints.view import changeable
from pipeline.network.lookup import Networks
from pipeline.network.state import State
from pipeline.network.store import NetworkStore
from pipeline.network.vpc_endpoints import ChangedTags, Tagged

_Reading = Callable[[Call, Registry], dict[str, Any]]
_Changing = Callable[[Call, Registry], tuple[Registry, dict[str, Any]]]
_ACCEPTED = "ClientToken TagSpecifications"


@dataclass(frozen=True)
class Endpoints:
    """The endpoint services and endpoints of a home. Safe to use from any thread.

    `decide` accepts or rejects an endpoint for a user. `allowed`: the networks that an owner's endpoints may attach.
    While an operation changes something, no network changes.
    """

    balancer: Balancer
    store: NetworkStore
    decide: Decide
    allowed: AllowedNetworks

    def operations(self) -> Mapping[str, Operation]:
        """Return EC2's operations by their names."""
        networks = Networks(self.store)
        accepted = "GatewayLoadBalancerArns AcceptanceRequired SupportedIpAddressTypes NetworkLoadBalancerArns"
        return {
            "CreateVpcEndpointServiceConfiguration": self._changing(services.create, f"{accepted} {_ACCEPTED}"),
            "ModifyVpcEndpointServiceConfiguration": self._changing(
                services.modify,
                "ServiceId AcceptanceRequired AddGatewayLoadBalancerArns RemoveGatewayLoadBalancerArns",
            ),
            "DeleteVpcEndpointServiceConfigurations": self._changing(services.delete, "ServiceIds"),
            "DescribeVpcEndpointServiceConfigurations": self._reading(services.describe_configurations),
            "DescribeVpcEndpointServices": self._reading(services.describe),
            "DescribeVpcEndpointServicePermissions": self._reading(permissions.describe),
            "ModifyVpcEndpointServicePermissions": self._changing(
                permissions.modify, "ServiceId AddAllowedPrincipals RemoveAllowedPrincipals"
            ),
            "DescribeVpcEndpointConnections": self._reading(connections.describe),
            "AcceptVpcEndpointConnections": self._decision(EndpointState.AVAILABLE),
            "RejectVpcEndpointConnections": self._decision(EndpointState.REJECTED),
            "CreateVpcEndpoint": self._changing(
                lambda call, registry: endpoints.create(
                    call, registry, networks.subnet(call.owner, endpoints.subnet_of(call) or "")
                ),
                f"VpcEndpointType VpcId ServiceName SubnetIds IpAddressType {_ACCEPTED}",
            ),
            "DescribeVpcEndpoints": self._reading(endpoints.describe),
            "ModifyVpcEndpoint": self._changing(endpoints.modify, "*"),
            "DeleteVpcEndpoints": self._changing(
                lambda call, registry: endpoints.delete(call, registry, self.store.read(call.owner)), "VpcEndpointIds"
            ),
        }

    def ids(self, owner: str) -> Collection[str]:
        """Return the ids of an owner's endpoints that routes may lead to."""
        found = self.balancer.registry().endpoints.values()
        return {each.endpoint_id for each in found if each.owner == owner and "vpc" in each.kept}

    def subnets(self, owner: str) -> Collection[str]:
        """Return the ids of the subnets that an owner's endpoints are in."""
        found = (each.kept for each in self.balancer.registry().endpoints.values() if each.owner == owner)
        return {str(subnet) for kept in found if isinstance(listed := kept.get("subnets"), list) for subnet in listed}

    def tags(self, owner: str) -> Mapping[str, Tagged]:
        """Return the tags of an owner's endpoints and endpoint services by their ids."""
        registry = self.balancer.registry()
        services = (each for each in registry.endpoint_services.values() if each.owner == owner)
        endpoints = (each for each in registry.endpoints.values() if each.owner == owner)
        return {
            **{each.service_id: Tagged("vpc-endpoint-service", each.tags) for each in services},
            **{each.endpoint_id: Tagged("vpc-endpoint", each.tags) for each in endpoints},
        }

    def change_tags(self, owner: str, ids: Collection[str], change: ChangedTags) -> None:
        """Change the tags of those with these ids.

        Raises what `change` raises, and `AwsError` for what pipeline.yaml declares.
        """

        def changed(registry: Registry) -> Registry:
            known: tuple[EndpointServiceResource | EndpointResource, ...] = (
                *registry.endpoint_services.values(),
                *registry.endpoints.values(),
            )
            found = [changeable(each) for each in known if each.owner == owner and _id(each) in ids]
            return registry.put(*(each.model_copy(update={"tags": dict(change(each.tags))}) for each in found))

        if self.tags(owner).keys() & set(ids):
            self.balancer.change(owner, changed)

    def follow(self, owner: str, state: State) -> None:
        """Give the endpoints of an owner the networks whose routes lead to them. Raises as the change of a registry."""
        if self.ids(owner):
            self.balancer.change(owner, lambda registry: endpoints.followed(registry, owner, state, self.allowed))

    def _reading(self, read: _Reading) -> Operation:
        def carry_out(call: Call) -> dict[str, Any]:
            result = read(call, self.balancer.registry())
            _check_dry_run(call)
            return result

        return carry_out

    def _changing(self, change: _Changing, accepted: str) -> Operation:
        names = frozenset(accepted.split()) | {"DryRun"}

        def carry_out(call: Call) -> dict[str, Any]:
            for name, value in call.parameters.items():
                if not names & {name, "*"} and value not in (False, "", []):
                    raise AwsError("UnsupportedOperation", f"The parameter {name} has no meaning on this machine")
            results: list[dict[str, Any]] = []

            def changed(registry: Registry) -> Registry:
                after, result = change(call, registry)
                _check_dry_run(call)
                results.append(result)
                return after

            with self.store.holding():
                self.balancer.change(call.owner, changed)
            return results[-1]

        return carry_out

    def _decision(self, state: EndpointState) -> Operation:
        def carry_out(call: Call) -> dict[str, Any]:
            _check_dry_run(call)
            return connections.decide(call, self.balancer.registry(), state, self.decide)

        return carry_out


def _id(resource: EndpointServiceResource | EndpointResource) -> str:
    return resource.service_id if isinstance(resource, EndpointServiceResource) else resource.endpoint_id


def _check_dry_run(call: Call) -> None:
    if call.parameters.get("DryRun"):
        raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
