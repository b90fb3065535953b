"""Attributes of application load balancers, their listeners and their target groups, by ELB's own keys."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pipeline.balancer.model.attributes import (
    CROSS_ZONE,
    IN_CLOUD,
    IN_S3,
    OF_GATEWAYS,
    Attributes,
    NodeGroupAttributes,
)
from pipeline.balancer.model.endpoint import EntryPointAttributes
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole

_NETWORK = "it is for network load balancers"
_REPORT = f"{IN_S3}; `pipeline balancer log` prints the same fields"


def _cookie(name: str) -> str:
    if name.upper().startswith("AWSALB"):
        raise ValueError("must not begin with AWSALB, which the load balancer uses for its own cookies")
    if name.startswith("$"):
        raise ValueError("must not begin with $, because HAProxy takes that for an attribute of the cookie before")
    return name


def _on_off(value: object) -> object:
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def _names(default: str) -> Any:
    return Field(default, description="Name of this header in requests to targets.")


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[ -~]{1,1024}$")]
CookieName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"), AfterValidator(_cookie)]
OnOff = Annotated[Literal["on", "off"], BeforeValidator(_on_off)]
_SETS: Any = Field(None, description="Value of this header in every response. It replaces the target's.")


class LoadBalancerAttributes(EntryPointAttributes):
    """Attributes of a load balancer, for connections and headers."""

    refused: ClassVar[dict[str, str]] = {
        "access_logs.s3.": _REPORT,
        "connection_logs.s3.": _REPORT,
        "health_check_logs.s3.": _REPORT,
        "ipv6.deny_all_igw_traffic": IN_CLOUD,
        "waf.fail_open.enabled": "it configures AWS WAF",
        "dns_record.client_routing_policy": _NETWORK,
        "secondary_ips.auto_assigned.per_subnet": _NETWORK,
    }

    cross_zone: bool = Field(
        True,
        alias=CROSS_ZONE,
        description="A node sends requests to the targets of all zones. Always true; a target group can turn it off.",
    )
    idle_timeout: Whole = Field(
        60,
        alias="idle_timeout.timeout_seconds",
        ge=1,
        le=4000,
        description="Seconds without a byte after which a connection is closed.",
    )
    client_keep_alive: Whole = Field(
        3600,
        alias="client_keep_alive.seconds",
        ge=60,
        le=604800,
        description="Age in seconds after which a client's connection is closed, with the next response.",
    )
    desync_mitigation_mode: Literal["monitor", "defensive", "strictest"] = Field(
        "defensive",
        alias="routing.http.desync_mitigation_mode",
        description="Handling of requests that two servers may read differently: see docs/elb.md.",
    )
    drop_invalid_header_fields: bool = Field(
        False,
        alias="routing.http.drop_invalid_header_fields.enabled",
        description="Removes headers whose names hold anything but letters, digits and dashes.",
    )
    preserve_host_header: bool = Field(
        False,
        alias="routing.http.preserve_host_header.enabled",
        description="Passes the Host header on unchanged. Otherwise a listener on port 80 or 443 removes the port, "
        "and any other listener adds its own if it is missing.",
    )
    tls_version_and_cipher_suite: bool = Field(
        False,
        alias="routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
        description="Sends the client's TLS version and cipher suite to targets.",
    )
    xff_client_port: bool = Field(
        False, alias="routing.http.xff_client_port.enabled", description="Adds the client's port to X-Forwarded-For."
    )
    xff_mode: Literal["append", "preserve", "remove"] = Field(
        "append",
        alias="routing.http.xff_header_processing.mode",
        description="append: adds the client's address to X-Forwarded-For. preserve: leaves the header unchanged. "
        "remove: removes the header.",
    )
    http2: bool = Field(True, alias="routing.http2.enabled", description="Offers HTTP/2 to clients.")

    @field_validator("cross_zone")
    @classmethod
    def _crosses_zones(cls, value: bool) -> bool:
        if not value:
            raise ValueError(f"must be true for an application load balancer; set {CROSS_ZONE} on the target group")
        return value


def _listener_key(field: str) -> str:
    """Return ELB's key for a header that a listener names or sets."""
    if field.startswith("x_amzn_"):
        return f"routing.http.request.{field}.header_name"
    return f"routing.http.response.{field}.header_value"


class ListenerAttributes(Attributes):
    """Headers that a listener sets in responses, and the names of the TLS headers that it sends to targets."""

    model_config = ConfigDict(alias_generator=_listener_key)

    refused: ClassVar[dict[str, str]] = {"tcp.idle_timeout.seconds": _NETWORK}

    server: bool = Field(
        True,
        alias="routing.http.response.server.enabled",
        description="Sends a Server header in responses generated by the balancer.",
    )
    strict_transport_security: HeaderValue | None = _SETS
    access_control_allow_origin: HeaderValue | None = _SETS
    access_control_allow_methods: HeaderValue | None = _SETS
    access_control_allow_headers: HeaderValue | None = _SETS
    access_control_allow_credentials: HeaderValue | None = _SETS
    access_control_expose_headers: HeaderValue | None = _SETS
    access_control_max_age: HeaderValue | None = _SETS
    content_security_policy: HeaderValue | None = _SETS
    x_content_type_options: HeaderValue | None = _SETS
    x_frame_options: HeaderValue | None = _SETS
    x_amzn_mtls_clientcert: HeaderName = _names("X-Amzn-Mtls-Clientcert")
    x_amzn_mtls_clientcert_serial_number: HeaderName = _names("X-Amzn-Mtls-Clientcert-Serial-Number")
    x_amzn_mtls_clientcert_issuer: HeaderName = _names("X-Amzn-Mtls-Clientcert-Issuer")
    x_amzn_mtls_clientcert_subject: HeaderName = _names("X-Amzn-Mtls-Clientcert-Subject")
    x_amzn_mtls_clientcert_validity: HeaderName = _names("X-Amzn-Mtls-Clientcert-Validity")
    x_amzn_mtls_clientcert_leaf: HeaderName = _names("X-Amzn-Mtls-Clientcert-Leaf")
    x_amzn_tls_version: HeaderName = _names("X-Amzn-Tls-Version")
    x_amzn_tls_cipher_suite: HeaderName = _names("X-Amzn-Tls-Cipher-Suite")

    def response_headers(self) -> dict[str, str]:
        """Return the headers that it sets in every response, by name."""
        names = (name for name in type(self).model_fields if not name.startswith("x_amzn_") and name != "server")
        return {name.replace("_", "-").title(): value for name in names if (value := getattr(self, name)) is not None}


class ApplicationGroupAttributes(NodeGroupAttributes):
    """Attributes of a target group, for the choice of targets and stickiness."""

    refused: ClassVar[dict[str, str]] = {
        "deregistration_delay.connection_termination.enabled": _NETWORK,
        "preserve_client_ip.enabled": _NETWORK,
        "proxy_protocol_v2.enabled": _NETWORK,
        "target_health_state.unhealthy.": _NETWORK,
        "target_failover.": OF_GATEWAYS,
    }

    stickiness_type: Literal["lb_cookie", "app_cookie"] = Field(
        "lb_cookie",
        alias="stickiness.type",
        description="lb_cookie: the load balancer sets the cookie. app_cookie: the application does.",
    )
    lb_cookie_duration: Whole = Field(
        86400,
        alias="stickiness.lb_cookie.duration_seconds",
        ge=1,
        le=604800,
        description="Seconds after its last request for which a client stays with its target.",
    )
    app_cookie_duration: Whole = Field(
        86400,
        alias="stickiness.app_cookie.duration_seconds",
        ge=1,
        le=604800,
        description="Seconds after its last request for which a client stays with its target.",
    )
    app_cookie_name: CookieName | None = Field(
        None, alias="stickiness.app_cookie.cookie_name", description="Name of the application's cookie."
    )
    algorithm: Literal["round_robin", "least_outstanding_requests", "weighted_random"] = Field(
        "round_robin",
        alias="load_balancing.algorithm.type",
        description="Choice of the next target: in turn, the one with the fewest requests in flight, or at random.",
    )
    anomaly_mitigation: OnOff = Field(
        "off",
        alias="load_balancing.algorithm.anomaly_mitigation",
        description="With weighted_random: sends no requests to a target that failed ten times in a row, until its "
        "checks pass.",
    )
    slow_start: Whole = Field(
        0,
        alias="slow_start.duration_seconds",
        description="Seconds over which the share of a newly healthy target grows to the full share. 0: off. "
        "ELB: at least 30.",
    )
    retry: bool = Field(
        True,
        alias="retry.enabled",
        description="Sends a request once more if its target closed the connection without a response. Applies to GET, "
        "HEAD, OPTIONS, PUT and DELETE, and to requests with an Idempotency-Key. ELB never does. Functions: never.",
    )
    retry_minimum_healthy: Whole = Field(
        3,
        alias="retry.minimum_healthy_targets.count",
        ge=2,
        le=1000,
        description="With fewer healthy targets than this, but more than one, such a request is not sent again. With "
        "3, one request that kills each target it reaches leaves one healthy.",
    )
    multi_value_headers: bool = Field(
        False,
        alias="lambda.multi_value_headers.enabled",
        description="Passes all values of a repeated header or parameter to a function, instead of the last one.",
    )

    @field_validator("slow_start")
    @classmethod
    def _slow_start_in_range(cls, value: int) -> int:
        if value and not 1 <= value <= 900:
            raise ValueError("must be 0 or 1 to 900")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.slow_start and self.algorithm != "round_robin":
            raise FieldError(
                "slow_start.duration_seconds", f"needs load_balancing.algorithm.type: round_robin, got {self.algorithm}"
            )
        if self.anomaly_mitigation == "on" and self.algorithm != "weighted_random":
            raise FieldError(
                "load_balancing.algorithm.anomaly_mitigation", "needs load_balancing.algorithm.type: weighted_random"
            )
        if self.stickiness and self.cross_zone is False:
            raise FieldError("stickiness.enabled", f"must be false with {CROSS_ZONE}: false")
        if self.stickiness and self.stickiness_type == "app_cookie" and self.app_cookie_name is None:
            raise FieldError("stickiness.type", "app_cookie needs stickiness.app_cookie.cookie_name")
        return self
