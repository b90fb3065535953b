"""Listeners of a network load balancer: its ports. They have no rules."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.application.action import Action
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.endpoint import Endpoint
from pipeline.balancer.model.network.attributes import NetworkListenerAttributes
from pipeline.balancer.model.protocol import GENEVE, NEEDS_GATEWAY
from pipeline.balancer.model.ssl_policy import SslPolicyName
from pipeline.balancer.model.tls import Certificate
from pipeline.base.errors import FieldError

AlpnPolicy = Literal["None", "HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred"]


class _NetworkEndpoint(Endpoint):
    """The settings of a listener that need no other resource."""

    protocol: Literal["TCP", "TLS", "UDP", "TCP_UDP"] = Field(
        description="Protocol of clients. With TLS, the load balancer decrypts. UDP and TCP_UDP need the kernel's data "
        "plane, and so CAP_NET_ADMIN."
    )
    ssl_policy: SslPolicyName | None = Field(None, description="TLS versions and cipher suites that clients may use.")
    alpn_policy: AlpnPolicy | None = Field(
        None,
        description="Application protocols that are offered to clients, in order of preference. None: no ALPN. "
        "HTTP2Optional: http/1.1, h2. HTTP2Preferred: h2, http/1.1.",
    )
    default_action: Action = Field(description="The target groups that connections are forwarded to.")
    attributes: NetworkListenerAttributes = Field(NetworkListenerAttributes(), description="Settings by ELB's keys.")

    @field_validator("protocol", mode="before")
    @classmethod
    def _has_connections(cls, value: object) -> object:
        if value in ("HTTP", "HTTPS"):
            raise ValueError(f"{value} needs a load balancer of type: application")
        if value == GENEVE:
            raise ValueError(NEEDS_GATEWAY)
        return value

    @field_validator("default_action")
    @classmethod
    def _forwards(cls, action: Action) -> Action:
        for name in ("jwt_validation", "redirect", "fixed_response"):
            if getattr(action, name):
                raise FieldError(name, "needs a load balancer of type: application")
        if action.forward and action.forward.stickiness:
            raise FieldError("forward", "must have no stickiness, which needs cookies")
        return action

    @model_validator(mode="after")
    def _tls_fits(self) -> Self:
        for name in ("certificates", "ssl_policy", "alpn_policy"):
            if self.protocol != "TLS" and getattr(self, name, None):
                raise FieldError(name, "needs protocol: TLS")
        return self

    @model_validator(mode="after")
    def _idle_timeout_fits(self) -> Self:
        # A stored release has the default of every key.
        if self.protocol == "UDP" and self.attributes.tcp_idle_timeout != NetworkListenerAttributes().tcp_idle_timeout:
            raise FieldError(
                "attributes",
                "must not set tcp.idle_timeout.seconds with protocol: UDP, whose flows always end after 120 s",
            )
        return self

    @property
    def secure(self) -> bool:
        return self.protocol == "TLS"

    @property
    def url(self) -> str:
        return f"{'udp' if self.protocol == 'UDP' else 'tls' if self.secure else 'tcp'}://localhost:{self.port}"


class NetworkListenerSettings(_NetworkEndpoint):
    """A listener without its certificates, which are separate resources."""


class NetworkListener(_NetworkEndpoint):
    """A port on which a network load balancer accepts connections."""

    certificates: tuple[Certificate, ...] = Field(
        (), description="Certificates, chosen by the name that the client requests. If none fits, the first one."
    )

    @model_validator(mode="after")
    def _has_certificate(self) -> Self:
        if self.protocol == "TLS" and not self.certificates:
            raise FieldError("certificates", "must not be empty for a TLS listener")
        return self

    @property
    def rules(self) -> tuple[Rule, ...]:
        """No rules: the port decides."""
        return ()

    def groups(self) -> frozenset[str]:
        """Return the target groups that it may forward to."""
        return frozenset(group.target_group for group in self.default_action.groups())
