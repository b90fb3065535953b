"""Attributes of listeners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.attributes import AttributeTable, changed
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model.application.attributes import ListenerAttributes
from pipeline.balancer.model.gateway.attributes import GatewayListenerAttributes
from pipeline.balancer.model.gateway.listener import GatewayListenerSettings
from pipeline.balancer.model.network.attributes import NetworkListenerAttributes
from pipeline.balancer.model.network.listener import NetworkListenerSettings
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import ListenerResource


def _keys(model: type[ListenerAttributes | NetworkListenerAttributes | GatewayListenerAttributes]) -> frozenset[str]:
    return frozenset(str(field.alias) for field in model.model_fields.values())


_ALL = _keys(ListenerAttributes)
# Of a listener without TLS, there is nothing to tell a target about the client's.
_PLAIN = frozenset(key for key in _ALL if not key.startswith("routing.http.request."))
_VALUES = frozenset(key for key in _ALL if key.endswith(".header_value"))
_NETWORK = AttributeTable("Listener", _keys(NetworkListenerAttributes))
_GATEWAY = AttributeTable("Listener", _keys(GatewayListenerAttributes))


def _table(listener: ListenerResource) -> AttributeTable:
    if isinstance(listener.settings, NetworkListenerSettings):
        return _NETWORK
    if isinstance(listener.settings, GatewayListenerSettings):
        return _GATEWAY
    return AttributeTable("Listener", _ALL if listener.settings.secure else _PLAIN, empty=_VALUES)


def describe_listener_attributes(api: Api, call: Call) -> Mapping[str, Any]:
    """DescribeListenerAttributes."""
    return {"Attributes": _shown(api.view(call).listener(call.parameters["ListenerArn"]))}


def modify_listener_attributes(api: Api, call: Call) -> Mapping[str, Any]:
    """ModifyListenerAttributes. An empty value resets an attribute."""
    arn = call.parameters["ListenerArn"]

    def change(view: View) -> Registry:
        known = view.changeable(view.listener(arn))
        attributes = changed(known.settings.attributes, _table(known).parse(call.parameters["Attributes"]))
        settings = known.settings.model_copy(update={"attributes": attributes})
        return view.registry.put(known.model_copy(update={"settings": settings}))

    return {"Attributes": _shown(api.change(call, change).listener(arn))}


def _shown(listener: ListenerResource) -> list[dict[str, str]]:
    return _table(listener).shown(listener.settings.attributes)
