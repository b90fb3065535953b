"""The listener of a gateway load balancer. It takes the packets of all ports and protocols."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.application.action import Action
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.gateway.attributes import GatewayListenerAttributes
from pipeline.balancer.model.gateway.refused_keys import refuse_keys
from pipeline.balancer.model.tls import Certificate
from pipeline.base.errors import FieldError
from pipeline.base.schema import Model

NO_PORT = 0
"""Stands for the port of a listener that has none."""
_ALL = "the listener of a gateway load balancer takes the packets of all ports and protocols"
_NO_TLS = "a gateway load balancer passes packets on as they are, encrypted or not"
_REFUSED = {
    "protocol": _ALL,
    "port": _ALL,
    "rules": "it has no rules; its only action is default_action",
    "certificates": _NO_TLS,
    "ssl_policy": _NO_TLS,
    "alpn_policy": _NO_TLS,
    "mutual_authentication": _NO_TLS,
}


class _GatewayEndpoint(Model):
    """The settings of a listener."""

    default_action: Action = Field(description="The target group whose appliances get the packets.")
    attributes: GatewayListenerAttributes = Field(GatewayListenerAttributes(), description="Settings by ELB's keys.")

    @field_validator("default_action")
    @classmethod
    def _forwards(cls, action: Action) -> Action:
        for name in ("jwt_validation", "redirect", "fixed_response"):
            if getattr(action, name):
                raise FieldError(name, "needs a load balancer of type: application; write forward")
        assert action.forward is not None
        if action.forward.stickiness:
            raise FieldError("forward", "must have no stickiness; set stickiness.enabled on the target group")
        if len(action.forward.target_groups) > 1:
            raise FieldError(
                "forward", f"must name one target group, got {len(action.forward.target_groups)}; remove the others"
            )
        if (weight := action.forward.target_groups[0].weight) != 1:
            raise FieldError("forward", f"must have no weight other than 1 for its only target group, got {weight}")
        return action

    @property
    def port(self) -> int:
        """No port."""
        return NO_PORT

    @property
    def url(self) -> str:
        """No URL: no client connects to it."""
        return ""

    @property
    def secure(self) -> bool:
        """False: it decrypts nothing."""
        return False

    @property
    def group(self) -> str:
        """The target group that it forwards to."""
        return self.default_action.groups()[0].target_group


class GatewayListenerSettings(_GatewayEndpoint):
    """A listener as a resource. Its protocol distinguishes it from those of other load balancers."""

    protocol: Literal["GENEVE"]


class GatewayListener(_GatewayEndpoint):
    """The listener of a gateway load balancer. It has neither a protocol nor a port."""

    @model_validator(mode="before")
    @classmethod
    def _says_why(cls, data: Any) -> Any:
        refuse_keys(data, _REFUSED)
        return data

    @property
    def protocol(self) -> Literal["GENEVE"]:
        """The protocol to appliances. No client speaks it."""
        return "GENEVE"

    @property
    def rules(self) -> tuple[Rule, ...]:
        """No rules."""
        return ()

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """No certificates."""
        return ()

    def groups(self) -> frozenset[str]:
        """Return the target group that it forwards to."""
        return frozenset({self.group})
