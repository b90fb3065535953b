"""Attributes of gateway load balancers, their listeners and their target groups, by ELB's own keys."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from pipeline.balancer.model.attributes import (
    CROSS_ZONE,
    IN_S3,
    NOT_HTTP,
    OF_APPLICATIONS,
    Attributes,
    TargetGroupAttributes,
)
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole

Failover = Literal["no_rebalance", "rebalance"]
_NETWORK = "it is for network load balancers"
_NODES = "it is for application and network load balancers"
_FAILOVER = "target_failover"


def _sends_nothing(value: bool) -> bool:
    if value:
        raise ValueError("is not supported: the ends of a flow get no reset; leave it out, or write false")
    return value


_NoReset = Annotated[bool, AfterValidator(_sends_nothing), WithJsonSchema({"const": False})]


class GatewayLoadBalancerAttributes(Attributes):
    """Attributes of a gateway load balancer."""

    refused: ClassVar[dict[str, str]] = {
        "access_logs.s3.": IN_S3,
        "ipv6.deny_all_igw_traffic": _NODES,
        "zonal_shift.config.enabled": _NODES,
        "dns_record.client_routing_policy": f"{_NETWORK}; a gateway load balancer has no name in DNS",
        "secondary_ips.auto_assigned.per_subnet": _NETWORK,
        **NOT_HTTP,
    }

    cross_zone: bool = Field(
        False,
        alias=CROSS_ZONE,
        description="true: an endpoint sends flows to the appliances of all zones. false: only to those of its own "
        "zone.",
    )
    deletion_protection: bool = Field(
        False,
        alias="deletion_protection.enabled",
        description="Refuses `pipeline down`, and a pipeline.yaml without this load balancer.",
    )

    @property
    def zonal_shift(self) -> bool:
        """False: its endpoints stay in their zones."""
        return False


class GatewayListenerAttributes(Attributes):
    """Attributes of a listener of a gateway load balancer."""

    refused: ClassVar[dict[str, str]] = {"routing.http.": OF_APPLICATIONS}

    tcp_idle_timeout: Whole = Field(
        350,
        alias="tcp.idle_timeout.seconds",
        ge=60,
        le=6000,
        description="Seconds without a packet in either direction after which a flow of TCP ends. Flows of other "
        "protocols end after 120 s.",
    )
    resets_idle: _NoReset = Field(
        False,
        alias="send_tcp_reset.on_idle_timeout.enabled",
        description="Only false, as ELB's default: the ends of a flow that was idle for too long get no reset.",
    )


class GatewayGroupAttributes(TargetGroupAttributes):
    """Attributes of a target group of a gateway load balancer."""

    refused: ClassVar[dict[str, str]] = {
        CROSS_ZONE: f"{_NODES}; set it on the gateway load balancer",
        "deregistration_delay.connection_termination.enabled": _NETWORK,
        "lambda.multi_value_headers.enabled": OF_APPLICATIONS,
        "load_balancing.algorithm.": OF_APPLICATIONS,
        "preserve_client_ip.enabled": f"{_NETWORK}; appliances always get the packet as the client sent it",
        "proxy_protocol_v2.enabled": f"{_NETWORK}; appliances always get the packet as the client sent it",
        "retry.": OF_APPLICATIONS,
        "slow_start.duration_seconds": OF_APPLICATIONS,
        "stickiness.app_cookie.": OF_APPLICATIONS,
        "stickiness.lb_cookie.duration_seconds": OF_APPLICATIONS,
        "target_group_health.": f"{_NODES}; without a healthy appliance, all of them get new flows",
        "target_health_state.unhealthy.": f"{_NETWORK}; set {_FAILOVER}.on_unhealthy",
    }

    stickiness: bool = Field(
        False,
        alias="stickiness.enabled",
        description="false: a flow is what has the same protocol, addresses and ports. true: `stickiness.type` says "
        "what it is, and goes to one appliance.",
    )
    stickiness_type: Literal["source_ip_dest_ip", "source_ip_dest_ip_proto"] = Field(
        "source_ip_dest_ip_proto",
        alias="stickiness.type",
        description="source_ip_dest_ip: all packets between two addresses. source_ip_dest_ip_proto: those of one "
        "protocol.",
    )
    on_deregistration: Failover = Field(
        "no_rebalance",
        alias=f"{_FAILOVER}.on_deregistration",
        description="no_rebalance: the flows of an appliance stay with it until the deregistration delay is over. "
        "rebalance: they go to others.",
    )
    on_unhealthy: Failover = Field(
        "no_rebalance",
        alias=f"{_FAILOVER}.on_unhealthy",
        description="no_rebalance: the flows of an unhealthy appliance stay with it. rebalance: they go to others. The "
        "same as on_deregistration.",
    )
    resets_deregistered: _NoReset = Field(
        False,
        alias="send_tcp_reset.on_deregistration.enabled",
        description="Only false, as ELB's default: the ends of a flow of an appliance that is removed get no reset.",
    )
    resets_unhealthy: _NoReset = Field(
        False,
        alias="send_tcp_reset.on_unhealthy.enabled",
        description="Only false, as ELB's default: the ends of a flow of an unhealthy appliance get no reset.",
    )

    @property
    def rebalances(self) -> bool:
        """True if the flows of an appliance that is unhealthy or leaving go to others."""
        return self.on_unhealthy == "rebalance"

    @property
    def flow_fields(self) -> Literal[5, 3, 2]:
        """The number of fields that make a flow: 5, or 3 or 2 of them with stickiness."""
        if not self.stickiness:
            return 5
        return 3 if self.stickiness_type == "source_ip_dest_ip_proto" else 2

    @model_validator(mode="after")
    def _failovers_are_equal(self) -> Self:
        if self.on_deregistration != self.on_unhealthy:
            given = f"{_FAILOVER}.on_deregistration"
            place, other = (given, "on_unhealthy")
            if "on_deregistration" not in self.model_fields_set:
                place, other = f"{_FAILOVER}.on_unhealthy", "on_deregistration"
            raise FieldError(
                place, f"must be the same as {_FAILOVER}.{other}, which is {getattr(self, other)}; set both"
            )
        return self
