"""Unions of both kinds of load balancer, listener and target group. A key of each chooses its kind."""

from __future__ import annotations

from typing import Annotated

from pipeline.balancer.model.application.listener import ListenerSettings
from pipeline.balancer.model.application.load_balancer import LoadBalancer, LoadBalancerSettings
from pipeline.balancer.model.application.target_group import ApplicationTargetGroup
from pipeline.balancer.model.network.listener import NetworkListenerSettings
from pipeline.balancer.model.network.load_balancer import NetworkLoadBalancer, NetworkLoadBalancerSettings
from pipeline.balancer.model.network.target_group import NetworkTargetGroup
from pipeline.base.variants import Variants

_TYPE, _PROTOCOL = "type", "protocol"
_APPLICATION, _NETWORK = ("HTTP", "HTTPS"), ("TCP", "TLS", "UDP", "TCP_UDP")
_REFUSED = {
    "classic": "declare type: application for HTTP and HTTPS, or type: network for TCP and TLS; `pipeline balancer "
    "import-classic FILE` translates the description of a classic one",
    "gateway": "it inserts appliances into AWS's network",
}

AnyLoadBalancer = Annotated[
    LoadBalancer | NetworkLoadBalancer,
    Variants(_TYPE, {"application": LoadBalancer, "network": NetworkLoadBalancer}, "application", _REFUSED),
]
AnyLoadBalancerSettings = Annotated[
    LoadBalancerSettings | NetworkLoadBalancerSettings,
    Variants(_TYPE, {"application": LoadBalancerSettings, "network": NetworkLoadBalancerSettings}, "application"),
]
AnyListenerSettings = Annotated[
    ListenerSettings | NetworkListenerSettings,
    Variants(
        _PROTOCOL,
        dict.fromkeys(_APPLICATION, ListenerSettings) | dict.fromkeys(_NETWORK, NetworkListenerSettings),
        "HTTP",
    ),
]
AnyTargetGroup = Annotated[
    ApplicationTargetGroup | NetworkTargetGroup,
    Variants(
        _PROTOCOL,
        dict.fromkeys(_APPLICATION, ApplicationTargetGroup) | dict.fromkeys(_NETWORK, NetworkTargetGroup),
        "HTTP",
    ),
]
