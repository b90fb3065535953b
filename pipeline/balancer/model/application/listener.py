"""Listeners of an application load balancer: its ports, with their rules."""

from __future__ import annotations

from collections import Counter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.application.action import Action
from pipeline.balancer.model.application.attributes import ListenerAttributes
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.endpoint import Endpoint
from pipeline.balancer.model.protocol import GENEVE, NEEDS_GATEWAY
from pipeline.balancer.model.ssl_policy import SslPolicyName
from pipeline.balancer.model.tls import Certificate, MutualAuthentication
from pipeline.base.errors import FieldError

_NEEDS_TLS = "must be HTTPS for jwt_validation; a token sent over plain HTTP cannot be trusted"


class _ApplicationEndpoint(Endpoint):
    """The protocol and port of a listener for HTTP."""

    protocol: Literal["HTTP", "HTTPS"] | None = Field(None, description="Protocol of clients. HTTP if left out.")

    @field_validator("protocol", mode="before")
    @classmethod
    def _has_requests(cls, value: object) -> object:
        if value in ("TCP", "TLS", "UDP", "TCP_UDP"):
            raise ValueError(f"{value} needs a load balancer of type: network")
        if value == GENEVE:
            raise ValueError(NEEDS_GATEWAY)
        return value

    @property
    def secure(self) -> bool:
        return self.protocol == "HTTPS"

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://localhost:{self.port}"


class ListenerSettings(_ApplicationEndpoint):
    """A listener without its rules and certificates, which are separate resources.

    Without a default action it adds its rules to the listener that another load balancer has on this port.
    """

    ssl_policy: SslPolicyName | None = None
    mutual_authentication: MutualAuthentication | None = None
    default_action: Action | None = None
    attributes: ListenerAttributes = ListenerAttributes()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.default_action is None:
            _check_guest_settings(self)
        elif self.protocol != "HTTPS":
            if self.ssl_policy or self.mutual_authentication:
                raise FieldError("protocol", "must be HTTPS for ssl_policy and mutual_authentication")
            if self.default_action.jwt_validation:
                raise FieldError("protocol", _NEEDS_TLS)
        return self


class Listener(_ApplicationEndpoint):
    """A port on which the load balancer accepts requests."""

    certificates: tuple[Certificate, ...] = Field(
        (), description="Certificates, chosen by the name that the client requests. If none fits, the first one."
    )
    ssl_policy: SslPolicyName | None = Field(None, description="TLS versions and cipher suites that clients may use.")
    mutual_authentication: MutualAuthentication | None = Field(None, description="Certificates of clients.")
    rules: tuple[Rule, ...] = Field((), description="Rules. The first one that matches applies.")
    default_action: Action | None = Field(
        None,
        description="Action for a request that no rule matches. A listener without one adds its rules to the listener "
        "that another pipeline declares on this port.",
    )
    attributes: ListenerAttributes = Field(ListenerAttributes(), description="Settings by ELB's keys.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.default_action is None:
            self._joins()
        elif self.protocol == "HTTPS" and not self.certificates:
            raise FieldError("certificates", "must not be empty for an HTTPS listener")
        if self.protocol != "HTTPS" and self.default_action is not None:
            for name in ("certificates", "ssl_policy", "mutual_authentication"):
                if getattr(self, name):
                    raise FieldError(name, "needs protocol: HTTPS")
        if self.protocol != "HTTPS" and any(action.jwt_validation for action in self.actions()) and self.default_action:
            raise FieldError("protocol", _NEEDS_TLS)
        priorities = Counter(rule.priority for rule in self.rules)
        if twice := next((priority for priority, times in priorities.items() if times > 1), None):
            raise FieldError("rules", f"must have unique priorities, got {twice} twice")
        return self

    def _joins(self) -> None:
        _check_no_tls_settings(self)
        if not self.rules:
            raise FieldError("default_action", "is missing; without it, rules are required")
        _check_no_attributes(self)

    def actions(self) -> tuple[Action, ...]:
        """Return the action of every rule, and the default action."""
        default = (self.default_action,) if self.default_action else ()
        return (*(rule.action for rule in self.rules), *default)

    def groups(self) -> frozenset[str]:
        """Return the target groups that it may forward to."""
        return frozenset(group.target_group for action in self.actions() for group in action.groups())


def _check_guest_settings(listener: ListenerSettings) -> None:
    _check_no_tls_settings(listener)
    _check_no_attributes(listener)


def _check_no_tls_settings(listener: Listener | ListenerSettings) -> None:
    for name in ("protocol", "ssl_policy", "mutual_authentication"):
        if getattr(listener, name) is not None:
            raise FieldError(name, "needs a default_action; without it, the listener belongs to another pipeline")


def _check_no_attributes(listener: Listener | ListenerSettings) -> None:
    if listener.attributes != ListenerAttributes():
        raise FieldError("attributes", "need a default_action; without it, the listener belongs to another pipeline")
