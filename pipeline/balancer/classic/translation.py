"""The translation of a classic load balancer into a declaration: an ALB for requests, an NLB for connections. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pipeline.balancer.classic.description import (
    ClassicListener,
    ClassicLoadBalancer,
    ListenerDescription,
    PolicyDescription,
)
from pipeline.balancer.classic.stickiness import stickiness
from pipeline.base.errors import ConfigError

_MAX_NAME = 32
# The range of the idle timeouts, in s.
_REQUESTS_IDLE, _FLOWS_IDLE = (1, 4000), (60, 6000)
_CROSS_ZONE = "load_balancing.cross_zone.enabled"
# Classic policies → the policy with the same lowest version of TLS.
_TLS_POLICIES = {
    "ELBSecurityPolicy-TLS-1-2-2017-01": "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS-1-1-2017-01": "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-2016-08": "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-2015-05": "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-2015-03": "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-2015-02": "ELBSecurityPolicy-TLS13-1-0-2021-06",
}


@dataclass(frozen=True)
class ImportedDeclaration:
    """The section `balancer` of pipeline.yaml, and what it does not carry over, a line each."""

    balancer: dict[str, Any]
    notes: list[str]


def translate(described: ClassicLoadBalancer) -> ImportedDeclaration:
    """Return the declaration of a classic load balancer. Raises `ConfigError` if it would have no listeners."""
    return _Translation(described).result()


@dataclass
class _Translation:
    """The declaration as it is made, with notes on the way."""

    described: ClassicLoadBalancer
    notes: list[str] = field(default_factory=list)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)

    def result(self) -> ImportedDeclaration:
        if self.described.attributes is None:
            self.note("LoadBalancerAttributes are not given, so draining and the idle time have Penstock's defaults")
        balancers = dict(self.load_balancers())
        if not balancers:
            raise ConfigError(
                f"no listener of {self.described.load_balancer_name} can be carried over: {self.notes[-1]}"
            )
        self.notes += _unsupported(self.described)
        if len(self.groups) > 1:
            names = ", ".join(self.groups)
            self.note(f"a pipeline deploys into one target group; these may need pipelines of their own: {names}")
        return ImportedDeclaration({"target_groups": self.groups, "load_balancers": balancers}, self.notes)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def load_balancers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name and the declaration of each load balancer that has listeners."""
        name, found = self.described.load_balancer_name, self.described.listener_descriptions
        requests = [one for one in found if one.listener.forwards_requests]
        flows = [one for one in found if not one.listener.forwards_requests]
        for kind, described in (("application", requests), ("network", flows)):
            listeners = [made for one in described if (made := self.listener(one))]
            if listeners:
                own = f"{name[: _MAX_NAME - 4]}-tcp" if kind == "network" and requests else name
                yield (
                    own,
                    {"type": kind, "scheme": self.described.scheme, **self.attributes(kind), "listeners": listeners},
                )

    def attributes(self, kind: str) -> dict[str, Any]:
        """Return the attributes of a load balancer."""
        given = self.described.attributes
        if given is None:
            return {}
        found: dict[str, Any] = {}
        if kind == "network":
            found[_CROSS_ZONE] = given.cross_zone_load_balancing.enabled
        else:
            found["idle_timeout.timeout_seconds"] = self.idle_timeout(_REQUESTS_IDLE)
            for attribute in given.additional_attributes:
                if attribute.key == "elb.http.desyncmitigationmode":
                    found["routing.http.desync_mitigation_mode"] = attribute.value
        return {"attributes": found}

    def idle_timeout(self, limits: tuple[int, int]) -> int:
        """Return the idle timeout within these limits, in s."""
        assert self.described.attributes is not None
        wanted = self.described.attributes.connection_settings.idle_timeout
        found = min(max(wanted, limits[0]), limits[1])
        if found != wanted:
            self.note(f"the idle timeout of {wanted} s becomes {found} s for connections")
        return found

    def listener(self, one: ListenerDescription) -> dict[str, Any] | None:
        """Return a listener, or None if it cannot be carried over."""
        listener = one.listener
        port = listener.load_balancer_port
        if listener.protocol == "TCP" and listener.target_protocol == "SSL":
            self.note(f"listener {port} is left out: a TCP listener cannot encrypt connections to its targets")
            return None
        protocol = "TLS" if listener.protocol == "SSL" else listener.protocol
        made: dict[str, Any] = {"protocol": protocol, "port": port}
        if protocol in ("HTTPS", "TLS"):
            made |= self.tls(one)
        if not listener.forwards_requests and self.described.attributes is not None:
            made["attributes"] = {"tcp.idle_timeout.seconds": self.idle_timeout(_FLOWS_IDLE)}
        return {**made, "default_action": {"forward": self.group(one)}}

    def tls(self, one: ListenerDescription) -> dict[str, Any]:
        """Return the certificate and the policy of a listener."""
        port = one.listener.load_balancer_port
        name = (one.listener.ssl_certificate_id or f"listener-{port}").rpartition("/")[2].rpartition(":")[2]
        files = {"certificate": f"certificates/{name}.pem", "private_key": f"certificates/{name}.key"}
        arn = one.listener.ssl_certificate_id or "its certificate"
        self.note(f"listener {port}: write {arn} and its key into {files['certificate']} and {files['private_key']}")
        policy = self.tls_policy(one)
        return {"certificates": [files], **({"ssl_policy": policy} if policy else {})}

    def tls_policy(self, one: ListenerDescription) -> str | None:
        """Return the policy for the listener's versions of TLS, or None for the default."""
        port, policies = one.listener.load_balancer_port, self.policies(one.policy_names)
        references = [value for policy in policies if (value := policy.value("Reference-Security-Policy"))]
        found = next((name for name in (*references, *one.policy_names) if name in _TLS_POLICIES), None)
        if found:
            self.note(f"listener {port}: {found} becomes {_TLS_POLICIES[found]}, which has TLS 1.3 too")
            return _TLS_POLICIES[found]
        if any(policy.policy_type_name == "SSLNegotiationPolicyType" for policy in policies):
            self.note(f"listener {port}: its own TLS policy becomes the default one; choose another by ssl_policy")
        return None

    def policies(self, names: tuple[str, ...]) -> list[PolicyDescription]:
        return [policy for policy in self.described.policy_descriptions if policy.policy_name in names]

    def group(self, one: ListenerDescription) -> str:
        """Return the name of the listener's target group. Listeners with the same targets and cookies have the same."""
        listener = one.listener
        protocol = "TLS" if listener.target_protocol == "SSL" else listener.target_protocol
        made: dict[str, Any] = {"protocol": protocol, "port": listener.instance_port}
        made["health_check"] = self.health_check(listener)
        if (given := self.described.attributes) is not None:
            draining = given.connection_draining
            made["deregistration_delay"] = f"{draining.timeout if draining.enabled else 0}s"
        if attributes := self.group_attributes(one):
            made["attributes"] = attributes
        base = f"{protocol.lower()}-{listener.instance_port}"
        names = (base if number == 1 else f"{base}-{number}" for number in count(1))
        name = next(name for name in names if self.groups.get(name, made) == made)
        self.groups[name] = made
        return name

    def health_check(self, listener: ClassicListener) -> dict[str, Any]:
        """Return the health check, which classic load balancers have once for all ports."""
        given = self.described.health_check
        if given.protocol == "SSL":
            self.note("the health check by SSL becomes one by TCP, which only connects")
        check: dict[str, Any] = {"protocol": "TCP" if given.protocol == "SSL" else given.protocol}
        if given.path is not None:
            check |= {"path": given.path, "matcher": "200"}
        if given.port != listener.instance_port:
            check["port"] = given.port
        return {
            **check,
            "interval": f"{given.interval}s",
            "timeout": f"{given.timeout}s",
            "healthy_threshold": given.healthy_threshold,
            "unhealthy_threshold": given.unhealthy_threshold,
        }

    def group_attributes(self, one: ListenerDescription) -> dict[str, Any]:
        """Return the attributes of the listener's target group."""
        if not one.listener.forwards_requests:
            return self.proxy_protocol(one.listener)
        found, notes = stickiness(self.described.policies, one)
        for text in notes:
            self.note(text)
        given = self.described.attributes
        if (
            given is not None
            and not given.cross_zone_load_balancing.enabled
            and len(self.described.availability_zones) > 1
        ):
            if found:
                self.note("cross-zone load balancing stays on for groups with cookies, which need it")
            else:
                found[_CROSS_ZONE] = False
        return found

    def proxy_protocol(self, listener: ClassicListener) -> dict[str, Any]:
        backends = self.described.backend_server_descriptions
        names = tuple(
            name for one in backends if one.instance_port == listener.instance_port for name in one.policy_names
        )
        if not any((policy.value("ProxyProtocol") or "").lower() == "true" for policy in self.policies(names)):
            return {}
        self.note(
            f"port {listener.instance_port}: targets get the PROXY header in version 2; a classic one has version 1"
        )
        return {"proxy_protocol_v2.enabled": True}


def _unsupported(described: ClassicLoadBalancer) -> Iterator[str]:
    """Yield what has no counterpart here."""
    if described.instances:
        yield f"{len(described.instances)} instances: Penstock registers the containers that it deploys"
    if described.availability_zones:
        zones = ", ".join(described.availability_zones)
        yield f"availability zones {zones}: to have nodes in zones, declare `zones` with an address for each"
    if described.security_groups:
        yield f"security groups {', '.join(described.security_groups)}: use the machine's firewall"
    if described.attributes and described.attributes.access_log.enabled:
        yield "the access log to S3: `pipeline balancer log` prints it"
    known = {"SSLNegotiationPolicyType", "ProxyProtocolPolicyType"}
    cookies = {"AppCookieStickinessPolicyType", "LBCookieStickinessPolicyType"}
    for policy in described.policy_descriptions:
        if policy.policy_type_name not in known | cookies:
            yield f"policy {policy.policy_name} of type {policy.policy_type_name}"
