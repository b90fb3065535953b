"""Listeners: the ports of a load balancer, and what happens to a request there."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.balancer.model.application.action import Action
from pipeline.balancer.model.application.attributes import ListenerAttributes
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.tls import Certificate, MutualAuthentication, SslPolicy
from pipeline.base.errors import FieldError
from pipeline.base.schema import Model, Port

_NEEDS_TLS = "must be HTTPS for jwt_validation: a token sent in the clear is anybody's"


class _Endpoint(Model):
    """What is spoken, and on which port."""

    protocol: Literal["HTTP", "HTTPS"] | None = Field(None, description="What clients speak. HTTP where left out.")
    port: Port = Field(description="The port on this machine.")

    @property
    def secure(self) -> bool:
        """Whether clients speak TLS."""
        return self.protocol == "HTTPS"

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        return f"{'https' if self.secure else 'http'}://localhost:{self.port}"


class ListenerSettings(_Endpoint):
    """A listener without its rules and certificates, which are resources of their own.

    Without a default action it adds its rules to the listener that another load balancer has on this port.
    """

    ssl_policy: SslPolicy | None = None
    mutual_authentication: MutualAuthentication | None = None
    default_action: Action | None = None
    attributes: ListenerAttributes = ListenerAttributes()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.default_action is None:
            _refuse_settings_of_a_guest(self)
        elif self.protocol != "HTTPS":
            if self.ssl_policy or self.mutual_authentication:
                raise FieldError("protocol", "must be HTTPS for ssl_policy and mutual_authentication")
            if self.default_action.jwt_validation:
                raise FieldError("protocol", _NEEDS_TLS)
        return self


class Listener(_Endpoint):
    """A port the load balancer answers on."""

    certificates: tuple[Certificate, ...] = Field(
        (), description="Chosen by the name that the client asks for; the first one where none fits."
    )
    ssl_policy: SslPolicy | None = Field(None, description="Which TLS versions and cipher suites clients may use.")
    mutual_authentication: MutualAuthentication | None = Field(
        None, description="Whether clients have to show a certificate."
    )
    rules: tuple[Rule, ...] = Field((), description="Rules, of which the first that matches is taken.")
    default_action: Action | None = Field(
        None,
        description="What happens to a request that no rule takes. A listener without one adds its rules to "
        "the listener that another pipeline declares on this port.",
    )
    attributes: ListenerAttributes = Field(ListenerAttributes(), description="Settings by ELB's keys.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.default_action is None:
            self._joins()
        elif self.protocol == "HTTPS" and not self.certificates:
            raise FieldError("certificates", "an HTTPS listener needs one")
        if self.protocol != "HTTPS" and self.default_action is not None:
            for name in ("certificates", "ssl_policy", "mutual_authentication"):
                if getattr(self, name):
                    raise FieldError(name, "needs protocol: HTTPS")
        if self.protocol != "HTTPS" and any(action.jwt_validation for action in self.actions()) and self.default_action:
            raise FieldError("protocol", _NEEDS_TLS)
        priorities = [rule.priority for rule in self.rules]
        if twice := next((p for p in priorities if priorities.count(p) > 1), None):
            raise FieldError("rules", f"holds two rules of priority {twice}")
        return self

    def _joins(self) -> None:
        _refuse_what_belongs_to_tls(self)
        if not self.rules:
            raise FieldError("default_action", "is missing, and so are rules for the listener of another pipeline")
        _refuse_attributes(self)

    def actions(self) -> tuple[Action, ...]:
        """The action of every rule, and the default."""
        default = (self.default_action,) if self.default_action else ()
        return (*(rule.action for rule in self.rules), *default)

    def groups(self) -> frozenset[str]:
        """The target groups it may forward to."""
        return frozenset(group.target_group for action in self.actions() for group in action.groups())


def _refuse_settings_of_a_guest(listener: ListenerSettings) -> None:
    _refuse_what_belongs_to_tls(listener)
    _refuse_attributes(listener)


def _refuse_what_belongs_to_tls(listener: Listener | ListenerSettings) -> None:
    for name in ("protocol", "ssl_policy", "mutual_authentication"):
        if getattr(listener, name) is not None:
            raise FieldError(
                name, "belongs where the listener's default_action is; without one, it is another pipeline's"
            )


def _refuse_attributes(listener: Listener | ListenerSettings) -> None:
    if listener.attributes != ListenerAttributes():
        raise FieldError("attributes", "belong to the pipeline whose listener this is")
