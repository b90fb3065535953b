"""Attributes: settings by ELB's own keys. Those that mean nothing on one machine are refused, with the reason."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole
from pipeline.base.schema import Model

_CLOUD = "it belongs to AWS's network, of which there is none here"
_S3 = "there is no S3 here: `pipeline balancer log` prints the access log in the same fields"
_ONE_ZONE = "there is one zone here, so all targets get the same share"
_NETWORK = "it belongs to network load balancers"
_ROUTING = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
_DNS = "it fails over between zones by DNS, and there is one zone here"


def _minimum(value: object) -> object:
    if value is False:  # What YAML 1.1 reads into `off`.
        return "off"
    if value == "off" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"{value!r} is no minimum; write a number from 1 on, or off")


def _cookie(name: str) -> str:
    if name.upper().startswith("AWSALB"):
        raise ValueError("is a name that the load balancer keeps for its own cookies")
    return name


def _on_off(value: object) -> object:
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def _names(default: str) -> Any:
    return Field(default, description="The name of this header on the way to targets.")


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[ -~]{1,1024}$")]
CookieName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"), AfterValidator(_cookie)]
Minimum = Annotated[int | Literal["off"], BeforeValidator(_minimum)]
OnOff = Annotated[Literal["on", "off"], BeforeValidator(_on_off)]
_SETS: Any = Field(None, description="Sets this header in every answer, in place of a target's own.")


class Attributes(Model):
    """A section of attributes. `refused` holds those of ELB that it does not take, and why."""

    refused: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _say_why(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            for prefix, reason in cls.refused.items():
                if str(key) == prefix or (prefix.endswith(".") and str(key).startswith(prefix)):
                    raise FieldError(str(key), f"has no effect here: {reason}")
        return data


class LoadBalancerAttributes(Attributes):
    """How a load balancer treats connections and headers."""

    refused: ClassVar[dict[str, str]] = {
        "access_logs.s3.": _S3,
        "connection_logs.s3.": _S3,
        "health_check_logs.s3.": _S3,
        "ipv6.deny_all_igw_traffic": _CLOUD,
        "zonal_shift.config.enabled": _ONE_ZONE,
        "load_balancing.cross_zone.enabled": _ONE_ZONE,
        "waf.fail_open.enabled": "it belongs to AWS WAF, which is not here",
        "dns_record.client_routing_policy": _NETWORK,
        "secondary_ips.auto_assigned.per_subnet": _NETWORK,
    }

    deletion_protection: bool = Field(
        False,
        alias="deletion_protection.enabled",
        description="`pipeline down`, and a pipeline.yaml without this load balancer, are refused.",
    )
    idle_timeout: Whole = Field(
        60, alias="idle_timeout.timeout_seconds", ge=1, le=4000, description="Seconds without a byte end a connection."
    )
    client_keep_alive: Whole = Field(
        3600,
        alias="client_keep_alive.seconds",
        ge=60,
        le=604800,
        description="A client's connection is closed after the first answer past this age, in seconds.",
    )
    desync_mitigation_mode: Literal["monitor", "defensive", "strictest"] = Field(
        "defensive",
        alias="routing.http.desync_mitigation_mode",
        description="How requests are treated that two servers may read differently: see docs/elb.md.",
    )
    drop_invalid_header_fields: bool = Field(
        False,
        alias="routing.http.drop_invalid_header_fields.enabled",
        description="Takes headers away whose names hold anything but letters, digits and dashes.",
    )
    preserve_host_header: bool = Field(
        False,
        alias="routing.http.preserve_host_header.enabled",
        description="Passes the Host header on as it came. Otherwise, the port is appended where it is missing and "
        "not 80 or 443, and taken off where it is.",
    )
    tls_version_and_cipher_suite: bool = Field(
        False,
        alias="routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
        description="Tells targets the client's TLS version and cipher suite.",
    )
    xff_client_port: bool = Field(
        False, alias="routing.http.xff_client_port.enabled", description="Puts the client's port into X-Forwarded-For."
    )
    xff_mode: Literal["append", "preserve", "remove"] = Field(
        "append",
        alias="routing.http.xff_header_processing.mode",
        description="append: the client's address is added to X-Forwarded-For. preserve: it stays as it came. "
        "remove: it is taken away.",
    )
    http2: bool = Field(True, alias="routing.http2.enabled", description="Speaks HTTP/2 with clients that want it.")


def _listener_key(field: str) -> str:
    """ELB's key for a header that a listener names or sets."""
    if field.startswith("x_amzn_"):
        return f"routing.http.request.{field}.header_name"
    return f"routing.http.response.{field}.header_value"


class ListenerAttributes(Attributes):
    """Headers that a listener sets in answers, and the names of those that tell targets of TLS."""

    model_config = ConfigDict(alias_generator=_listener_key)

    refused: ClassVar[dict[str, str]] = {"tcp.idle_timeout.seconds": _NETWORK}

    server: bool = Field(
        True, alias="routing.http.response.server.enabled", description="Answers of its own carry a Server header."
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
        """The headers that it sets in every answer."""
        names = (name for name in type(self).model_fields if not name.startswith("x_amzn_") and name != "server")
        return {name.replace("_", "-").title(): value for name in names if (value := getattr(self, name)) is not None}


class TargetGroupAttributes(Attributes):
    """How a target group chooses among its targets, and keeps clients with them."""

    refused: ClassVar[dict[str, str]] = {
        "load_balancing.cross_zone.enabled": _ONE_ZONE,
        "target_group_health.dns_failover.": _DNS,
        "deregistration_delay.connection_termination.enabled": _NETWORK,
        "preserve_client_ip.enabled": _NETWORK,
        "proxy_protocol_v2.enabled": _NETWORK,
        "target_health_state.unhealthy.": _NETWORK,
        "target_failover.": "it belongs to gateway load balancers",
    }

    stickiness: bool = Field(
        False, alias="stickiness.enabled", description="Whether a client stays with the target that it was given first."
    )
    stickiness_type: Literal["lb_cookie", "app_cookie"] = Field(
        "lb_cookie",
        alias="stickiness.type",
        description="lb_cookie: by a cookie of the load balancer. app_cookie: by one that the application sets.",
    )
    lb_cookie_duration: Whole = Field(
        86400,
        alias="stickiness.lb_cookie.duration_seconds",
        ge=1,
        le=604800,
        description="How long after its last request a client stays, in seconds.",
    )
    app_cookie_duration: Whole = Field(
        86400,
        alias="stickiness.app_cookie.duration_seconds",
        ge=1,
        le=604800,
        description="How long after its last request a client stays, in seconds.",
    )
    app_cookie_name: CookieName | None = Field(
        None, alias="stickiness.app_cookie.cookie_name", description="The application's cookie."
    )
    algorithm: Literal["round_robin", "least_outstanding_requests", "weighted_random"] = Field(
        "round_robin",
        alias="load_balancing.algorithm.type",
        description="Which target is next: in turn, the one with the fewest requests in flight, or any.",
    )
    anomaly_mitigation: OnOff = Field(
        "off",
        alias="load_balancing.algorithm.anomaly_mitigation",
        description="With weighted_random: sends less to a target that fails much more often than the others.",
    )
    slow_start: Whole = Field(
        0,
        alias="slow_start.duration_seconds",
        description="How long a target that has become healthy beside others is given more and more, in "
        "seconds; 0 is off. ELB: from 30 on.",
    )
    minimum_healthy_count: Minimum = Field(
        1,
        alias=f"{_ROUTING}.count",
        description="With fewer healthy targets, all get requests, healthy or not.",
    )
    minimum_healthy_percentage: Minimum = Field(
        "off",
        alias=f"{_ROUTING}.percentage",
        description="With a smaller share of healthy targets, in per cent, all get requests, healthy or not.",
    )
    multi_value_headers: bool = Field(
        False,
        alias="lambda.multi_value_headers.enabled",
        description="Whether a function gets all values of a repeated header or parameter, or the last.",
    )

    @property
    def needs_one_healthy(self) -> bool:
        """Whether one healthy target is enough: the others are only called on when there is none."""
        return self.minimum_healthy_count in (1, "off") and self.minimum_healthy_percentage == "off"

    def min_healthy_targets(self, registered: int) -> int:
        """With fewer healthy targets than this, all of the registered ones get requests."""
        count = 1 if self.minimum_healthy_count == "off" else self.minimum_healthy_count
        share = 0 if self.minimum_healthy_percentage == "off" else self.minimum_healthy_percentage
        return max(count, -(-registered * share // 100))

    @field_validator("slow_start")
    @classmethod
    def _slow_start_in_range(cls, value: int) -> int:
        if value and not 1 <= value <= 900:
            raise ValueError("must be 0 or 1 to 900")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.slow_start and self.algorithm != "round_robin":
            raise FieldError("slow_start.duration_seconds", f"goes with round_robin only, not with {self.algorithm}")
        if self.anomaly_mitigation == "on" and self.algorithm != "weighted_random":
            raise FieldError("load_balancing.algorithm.anomaly_mitigation", "goes with weighted_random only")
        if self.stickiness and self.stickiness_type == "app_cookie" and self.app_cookie_name is None:
            raise FieldError("stickiness.type", "app_cookie needs stickiness.app_cookie.cookie_name")
        if self.minimum_healthy_percentage != "off" and self.minimum_healthy_percentage > 100:
            raise FieldError(f"{_ROUTING}.percentage", "must be 1 to 100, or off")
        return self
