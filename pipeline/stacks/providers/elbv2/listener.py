"""AWS::ElasticLoadBalancingV2::Listener."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.balancer.elbv2.listeners import DEFAULT_POLICY
from pipeline.balancer.model.gateway.listener import GatewayListenerSettings
from pipeline.stacks.provider import Pending, Properties, State
from pipeline.stacks.providers.elbv2.action import Action
from pipeline.stacks.providers.elbv2.attributes import set_attributes, shown_attributes
from pipeline.stacks.providers.elbv2.properties import Certificates, KeyValue, parameters
from pipeline.stacks.providers.elbv2.resource import Elbv2Resource, described
from pipeline.stacks.providers.elbv2.takeover import as_given, take_over

_SHOWN = ("LoadBalancerArn", "Port", "Protocol", "Certificates", "SslPolicy", "AlpnPolicy", "MutualAuthentication")


class MutualAuthentication(Properties):
    """Whether clients have to show a certificate."""

    mode: Literal["off", "passthrough", "verify"] | None = None
    trust_store_arn: str | None = None
    ignore_client_certificate_expiry: bool | None = None
    advertise_trust_store_ca_names: Literal["on", "off"] | None = None


class ListenerProperties(Properties):
    """The properties of a listener."""

    load_balancer_arn: str
    port: int | None = Field(default=None, ge=1, le=65535)
    protocol: Literal["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC"] | None = None
    default_actions: list[Action]
    certificates: Certificates = Field(default_factory=list)
    ssl_policy: str | None = None
    alpn_policy: list[str] = Field(default_factory=list)
    mutual_authentication: MutualAuthentication | None = None
    listener_attributes: tuple[KeyValue, ...] = ()


class Listener(Elbv2Resource[ListenerProperties]):
    """Makes listeners. They accept connections when they are created."""

    kind = "listeners"
    noun = "Listener"
    properties = ListenerProperties
    replaces = frozenset({"LoadBalancerArn"})

    def _make(self, token: str, properties: ListenerProperties) -> str:
        made = self.elbv2("CreateListener", token, **parameters(properties, "ListenerAttributes"))
        return str(made["Listeners"][0]["ListenerArn"])

    def _complete(self, arn: str, properties: ListenerProperties) -> None:
        self._set(arn, properties, properties)

    def _change(self, arn: str, before: ListenerProperties, after: ListenerProperties) -> Pending | None:
        def switch() -> State:
            self._switch(arn, before, after)
            return self._state(arn)

        known = self.elbv2.view().listener(arn)
        if isinstance(known.settings, GatewayListenerSettings):
            # It forwards to one target group, so there is no time with both.
            self._switch(arn, before, after)
            return None
        pending = take_over(
            self.elbv2,
            as_given(self.elbv2, known),
            parameters(after)["DefaultActions"],
            lambda actions: self.elbv2("ModifyListener", ListenerArn=arn, DefaultActions=actions),
            switch,
        )
        if not pending:
            self._switch(arn, before, after)
        return pending

    def _switch(self, arn: str, before: ListenerProperties, after: ListenerProperties) -> None:
        changed = _complete(parameters(after))
        if changed.get("Certificates") == described(self.elbv2, self.noun, arn).get("Certificates"):
            # The same certificate again would replace it by itself.
            changed.pop("Certificates", None)
        self.elbv2("ModifyListener", ListenerArn=arn, **changed)
        self._set(arn, before, after)

    def _set(self, arn: str, before: ListenerProperties, after: ListenerProperties) -> None:
        listener = self.elbv2.view().listener(arn)
        set_attributes(self.elbv2, self.noun, arn, before.listener_attributes, after.listener_attributes, listener)

    def _state(self, arn: str) -> State:
        shown = described(self.elbv2, self.noun, arn)
        properties: dict[str, Any] = {
            **{name: shown[name] for name in _SHOWN if name in shown},
            "DefaultActions": as_given(self.elbv2, self.elbv2.view().listener(arn)),
            "ListenerAttributes": shown_attributes(self.elbv2, self.noun, arn),
        }
        return State(arn, {"ListenerArn": arn}, properties)


def _complete(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that a template sets, with defaults for those that it may have set before."""
    found = {name: value for name, value in wanted.items() if name not in ("LoadBalancerArn", "ListenerAttributes")}
    # The listener of a gateway load balancer has no protocol.
    protocol = wanted.get("Protocol")
    if protocol in ("HTTPS", "TLS"):
        found.setdefault("SslPolicy", DEFAULT_POLICY)
    if protocol == "HTTPS":
        found.setdefault("MutualAuthentication", {"Mode": "off"})
    if protocol == "TLS":
        found.setdefault("AlpnPolicy", ["None"])
    return found
