"""Attributes of network load balancers, their listeners and their target groups, by ELB's own keys."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.attributes import (
    CROSS_ZONE,
    IN_CLOUD,
    IN_S3,
    NOT_HTTP,
    OF_APPLICATIONS,
    OF_GATEWAYS,
    Attributes,
    NodeGroupAttributes,
)
from pipeline.balancer.model.endpoint import EntryPointAttributes
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole

RoutingPolicy = Literal["any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity"]
_UNHEALTHY = "target_health_state.unhealthy"


class NetworkLoadBalancerAttributes(EntryPointAttributes):
    """Attributes of a network load balancer."""

    refused: ClassVar[dict[str, str]] = {
        "access_logs.s3.": IN_S3,
        "ipv6.deny_all_igw_traffic": IN_CLOUD,
        "secondary_ips.auto_assigned.per_subnet": IN_CLOUD,
        **NOT_HTTP,
    }

    cross_zone: bool = Field(
        False,
        alias=CROSS_ZONE,
        description="true: a node sends traffic to the targets of all zones. false: only to those of its own zone.",
    )
    client_routing_policy: RoutingPolicy = Field(
        "any_availability_zone",
        alias="dns_record.client_routing_policy",
        description="The nodes whose addresses a client gets for the load balancer's name. availability_zone_affinity: "
        "the one of its own zone. partial_availability_zone_affinity: the one of its own zone for 85% of its queries.",
    )


class NetworkListenerAttributes(Attributes):
    """Attributes of a listener of a network load balancer."""

    refused: ClassVar[dict[str, str]] = {"routing.http.": OF_APPLICATIONS}

    tcp_idle_timeout: Whole = Field(
        350,
        alias="tcp.idle_timeout.seconds",
        ge=60,
        le=6000,
        description="Seconds without a byte in either direction after which a connection is closed. If listeners with "
        "different values forward to one target group by HAProxy, the largest one counts. A flow of UDP ends after 120 "
        "s.",
    )


class NetworkGroupAttributes(NodeGroupAttributes):
    """Attributes of a target group of a network load balancer."""

    refused: ClassVar[dict[str, str]] = {
        "load_balancing.algorithm.": OF_APPLICATIONS,
        "slow_start.duration_seconds": OF_APPLICATIONS,
        "stickiness.lb_cookie.duration_seconds": OF_APPLICATIONS,
        "stickiness.app_cookie.": OF_APPLICATIONS,
        "lambda.multi_value_headers.enabled": OF_APPLICATIONS,
        "retry.": f"{OF_APPLICATIONS}; a connection that a target refuses always goes to another one",
        "target_failover.": OF_GATEWAYS,
    }

    stickiness_type: Literal["source_ip"] = Field(
        "source_ip",
        alias="stickiness.type",
        description="source_ip: all connections from one address go to one target, while the healthy targets are the "
        "same.",
    )
    connection_termination: bool = Field(
        True,
        alias="deregistration_delay.connection_termination.enabled",
        description="Closes the connections that are left at the end of the deregistration delay. Always true: a "
        "deployment stops the container then. ELB: false.",
    )
    preserve_client_ip: bool | None = Field(
        None,
        alias="preserve_client_ip.enabled",
        description="Targets see the client's address as the source. Needs the kernel's data plane. Default: true for "
        "UDP and TCP_UDP, where it cannot be false, else false. ELB: true for target_type: instance too.",
    )
    proxy_protocol_v2: bool = Field(
        False,
        alias="proxy_protocol_v2.enabled",
        description="Sends targets a PROXY header, version 2, with the client's address before the first byte. Health "
        "checks send one too, without an address.",
    )
    unhealthy_connection_termination: bool = Field(
        True,
        alias=f"{_UNHEALTHY}.connection_termination.enabled",
        description="Closes the connections of a target when it becomes unhealthy.",
    )
    unhealthy_draining_interval: Whole = Field(
        0,
        alias=f"{_UNHEALTHY}.draining_interval_seconds",
        le=360_000,
        description="Seconds for which an unhealthy target keeps its connections, in the state unhealthy.draining. "
        "Needs connection_termination.enabled: false, with which 0 keeps them until they end.",
    )

    @field_validator("connection_termination")
    @classmethod
    def _terminates(cls, value: bool) -> bool:
        if not value:
            raise ValueError(
                "must be true, because a deployment stops the container at the end of the delay; set "
                "deregistration_delay, up to 1h, for longer connections"
            )
        return value

    @property
    def draining_interval(self) -> timedelta:
        """The time for which an unhealthy target keeps its connections, before they are closed."""
        return timedelta(seconds=self.unhealthy_draining_interval)

    @model_validator(mode="after")
    def _interval_fits(self) -> Self:
        if self.unhealthy_draining_interval and self.unhealthy_connection_termination:
            raise FieldError(
                f"{_UNHEALTHY}.draining_interval_seconds",
                f"needs {_UNHEALTHY}.connection_termination.enabled: false, which keeps the connections",
            )
        return self
