"""The description of a classic load balancer, in the shape of the `elb` API. Unknown fields are ignored.

It consists of the responses of DescribeLoadBalancers and, if given, DescribeLoadBalancerAttributes and
DescribeLoadBalancerPolicies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_pascal

from pipeline.base.errors import ConfigError
from pipeline.base.schema import Port
from pipeline.base.suggestion import not_declared

Protocol = Literal["HTTP", "HTTPS", "TCP", "SSL"]
_TARGET = re.compile(r"(HTTP|HTTPS):\d{1,5}/[!-~]*|(TCP|SSL):\d{1,5}")
_REQUEST = "aws elb describe-load-balancers"


class _Part(BaseModel):
    """A part of the description. Its keys are the API's."""

    model_config = ConfigDict(frozen=True, alias_generator=to_pascal)


class ClassicListener(_Part):
    """A port of the load balancer, and the port of the instances behind it."""

    protocol: Protocol
    load_balancer_port: Port
    instance_protocol: Protocol | None = None
    instance_port: Port
    ssl_certificate_id: str | None = Field(None, alias="SSLCertificateId")

    @field_validator("protocol", "instance_protocol", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def forwards_requests(self) -> bool:
        """True if it is of HTTP or HTTPS."""
        return self.protocol in ("HTTP", "HTTPS")

    @property
    def target_protocol(self) -> Protocol:
        """The protocol of the instances."""
        return self.instance_protocol or ("HTTP" if self.forwards_requests else "TCP")


class ListenerDescription(_Part):
    """A listener with the names of its policies."""

    listener: ClassicListener
    policy_names: tuple[str, ...] = ()


class AppCookiePolicy(_Part):
    """A policy that follows a cookie of the application."""

    policy_name: str
    cookie_name: str


class OwnCookiePolicy(_Part):
    """A policy with a cookie of the load balancer. Without a period, in s, it lasts as long as the browser runs."""

    policy_name: str
    cookie_expiration_period: int | None = None


class ClassicPolicies(_Part):
    """The policies of a load balancer, by kind."""

    app_cookie_stickiness_policies: tuple[AppCookiePolicy, ...] = ()
    lb_cookie_stickiness_policies: tuple[OwnCookiePolicy, ...] = Field((), alias="LBCookieStickinessPolicies")


class BackendDescription(_Part):
    """The policies for a port of the instances."""

    instance_port: Port
    policy_names: tuple[str, ...] = ()


class ClassicHealthCheck(_Part):
    """The check of all instances. Times are in s. `target`: `HTTP:80/path`, `HTTPS:443/path`, `TCP:80` or `SSL:443`."""

    target: str
    interval: int
    timeout: int
    unhealthy_threshold: int
    healthy_threshold: int

    @field_validator("target")
    @classmethod
    def _has_port(cls, value: str) -> str:
        protocol, _, rest = value.partition(":")
        target = f"{protocol.upper()}:{rest}"
        if not _TARGET.fullmatch(target):
            raise ValueError(f"must be HTTP:PORT/PATH, HTTPS:PORT/PATH, TCP:PORT or SSL:PORT, got {value}")
        return target

    @property
    def protocol(self) -> str:
        """The protocol of the check."""
        return self.target.partition(":")[0]

    @property
    def port(self) -> int:
        """The port that is checked."""
        return int(self.target.partition(":")[2].partition("/")[0])

    @property
    def path(self) -> str | None:
        """The path that is requested, or None if the check only connects."""
        _, slash, path = self.target.partition("/")
        return f"/{path}" if slash else None


class Enabled(_Part):
    """A feature that can be turned on. `timeout` is in s."""

    enabled: bool = False
    timeout: int = 300


class ConnectionSettings(_Part):
    """Settings of connections. The time is in s."""

    idle_timeout: int = 60


class AdditionalAttribute(_Part):
    """An attribute by its key."""

    key: str
    value: str


class ClassicAttributes(_Part):
    """The attributes of a load balancer."""

    cross_zone_load_balancing: Enabled = Enabled()
    access_log: Enabled = Enabled()
    connection_draining: Enabled = Enabled()
    connection_settings: ConnectionSettings = ConnectionSettings()
    additional_attributes: tuple[AdditionalAttribute, ...] = ()


class PolicyAttribute(_Part):
    """A value of a policy."""

    attribute_name: str
    attribute_value: str


class PolicyDescription(_Part):
    """A policy with its type and values."""

    policy_name: str
    policy_type_name: str
    policy_attribute_descriptions: tuple[PolicyAttribute, ...] = ()

    def value(self, name: str) -> str | None:
        """Return a value of the policy, or None."""
        return next((a.attribute_value for a in self.policy_attribute_descriptions if a.attribute_name == name), None)


class ClassicLoadBalancer(_Part):
    """A load balancer. `attributes` is None, and `policy_descriptions` empty, if they were not given."""

    load_balancer_name: str
    scheme: Literal["internet-facing", "internal"] = "internet-facing"
    listener_descriptions: tuple[ListenerDescription, ...] = Field(min_length=1)
    policies: ClassicPolicies = ClassicPolicies()
    backend_server_descriptions: tuple[BackendDescription, ...] = ()
    health_check: ClassicHealthCheck
    availability_zones: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    instances: tuple[Any, ...] = ()
    attributes: ClassicAttributes | None = None
    policy_descriptions: tuple[PolicyDescription, ...] = ()


def parse_description(data: Mapping[str, Any], name: str | None = None) -> ClassicLoadBalancer:
    """Return the load balancer that API responses describe: the only one, or the one of this name.

    Raises `ConfigError`, which names the faulty field.
    """
    found = data.get("LoadBalancerDescriptions")
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise ConfigError("there are no LoadBalancerDescriptions", hint=f"`{_REQUEST}` prints them as JSON")
    names = [str(one.get("LoadBalancerName")) for one in found if isinstance(one, Mapping)]
    if name is None and len(found) > 1:
        raise ConfigError(f"{len(found)} load balancers are described", hint=f"set --name to one of {', '.join(names)}")
    position = names.index(name) if name in names else 0
    if name is not None and name not in names:
        raise not_declared(f"load balancer {name}", names, name)
    return _load_balancer(data, position)


def _load_balancer(data: Mapping[str, Any], position: int) -> ClassicLoadBalancer:
    described = data["LoadBalancerDescriptions"][position]
    more = {"Attributes": data.get("LoadBalancerAttributes"), "PolicyDescriptions": data.get("PolicyDescriptions", ())}
    whole = {**described, **more} if isinstance(described, Mapping) else described
    try:
        return ClassicLoadBalancer.model_validate(whole)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        reason = first.get("ctx", {}).get("error") or first["msg"]
        raise ConfigError(f"LoadBalancerDescriptions[{position}]{place}: {reason}") from error
