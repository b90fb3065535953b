"""Unions of all kinds of load balancer, listener and target group. A key of each chooses its kind."""

from __future__ import annotations

from typing import Annotated

from pipeline.balancer.model.application.listener import Listener, ListenerSettings
from pipeline.balancer.model.application.load_balancer import LoadBalancer, LoadBalancerSettings
from pipeline.balancer.model.application.target_group import ApplicationTargetGroup
from pipeline.balancer.model.gateway.listener import GatewayListener, GatewayListenerSettings
from pipeline.balancer.model.gateway.load_balancer import GatewayLoadBalancer, GatewayLoadBalancerSettings
from pipeline.balancer.model.gateway.target_group import GatewayTargetGroup
from pipeline.balancer.model.network.listener import NetworkListener, NetworkListenerSettings
from pipeline.balancer.model.network.load_balancer import NetworkLoadBalancer, NetworkLoadBalancerSettings
from pipeline.balancer.model.network.target_group import NetworkTargetGroup
from pipeline.balancer.model.protocol import GENEVE
from pipeline.base.variants import Variants

_TYPE, _PROTOCOL = "type", "protocol"
_APPLICATION, _NETWORK = ("HTTP", "HTTPS"), ("TCP", "TLS", "UDP", "TCP_UDP")
_REFUSED = {
    "classic": "declare type: application for HTTP and HTTPS, or type: network for TCP and TLS; `pipeline balancer "
    "import-classic FILE` translates the description of a classic one",
}

AnyLoadBalancer = Annotated[
    LoadBalancer | NetworkLoadBalancer | GatewayLoadBalancer,
    Variants(
        _TYPE,
        {"application": LoadBalancer, "network": NetworkLoadBalancer, "gateway": GatewayLoadBalancer},
        "application",
        _REFUSED,
    ),
]
AnyLoadBalancerSettings = Annotated[
    LoadBalancerSettings | NetworkLoadBalancerSettings | GatewayLoadBalancerSettings,
    Variants(
        _TYPE,
        {
            "application": LoadBalancerSettings,
            "network": NetworkLoadBalancerSettings,
            "gateway": GatewayLoadBalancerSettings,
        },
        "application",
    ),
]
AnyListener = Listener | NetworkListener | GatewayListener
AnyListenerSettings = Annotated[
    ListenerSettings | NetworkListenerSettings | GatewayListenerSettings,
    Variants(
        _PROTOCOL,
        dict.fromkeys(_APPLICATION, ListenerSettings)
        | dict.fromkeys(_NETWORK, NetworkListenerSettings)
        | {GENEVE: GatewayListenerSettings},
        "HTTP",
    ),
]
AnyTargetGroup = Annotated[
    ApplicationTargetGroup | NetworkTargetGroup | GatewayTargetGroup,
    Variants(
        _PROTOCOL,
        dict.fromkeys(_APPLICATION, ApplicationTargetGroup)
        | dict.fromkeys(_NETWORK, NetworkTargetGroup)
        | {GENEVE: GatewayTargetGroup},
        "HTTP",
    ),
]
