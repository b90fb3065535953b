"""The parts of a load balancer: the nouns of AWS ELB, with its names and meanings, for one machine.

Names and ranges follow the `elbv2` service model. Where a default or a range differs, the field says so. ELB's timings
(30 s between checks, 300 s of draining) suit larger systems.
"""

from __future__ import annotations

from pipeline.balancer.model.application.action import Action, FixedResponse, Forward, Redirect
from pipeline.balancer.model.application.condition import Condition
from pipeline.balancer.model.application.listener import Listener
from pipeline.balancer.model.application.load_balancer import LoadBalancer
from pipeline.balancer.model.application.rule import Rule
from pipeline.balancer.model.application.target_group import ApplicationTargetGroup
from pipeline.balancer.model.declaration import Declaration
from pipeline.balancer.model.endpoints_alone import EndpointsAlone
from pipeline.balancer.model.gateway.listener import GatewayListener
from pipeline.balancer.model.gateway.load_balancer import GatewayLoadBalancer
from pipeline.balancer.model.gateway.target_group import GatewayTargetGroup
from pipeline.balancer.model.health_check import HealthCheck
from pipeline.balancer.model.network.listener import NetworkListener
from pipeline.balancer.model.network.load_balancer import NetworkLoadBalancer
from pipeline.balancer.model.network.target_group import NetworkTargetGroup
from pipeline.balancer.model.shared_group import SharedGroup
from pipeline.balancer.model.target import Target, TargetHealth, TargetState
from pipeline.balancer.model.target_group import TargetGroup
from pipeline.balancer.model.undeclared import Undeclared
from pipeline.base.schema import Model, Name, Port

__all__ = [
    "Action",
    "ApplicationTargetGroup",
    "Condition",
    "Declaration",
    "EndpointsAlone",
    "FixedResponse",
    "Forward",
    "GatewayListener",
    "GatewayLoadBalancer",
    "GatewayTargetGroup",
    "HealthCheck",
    "Listener",
    "LoadBalancer",
    "Model",
    "Name",
    "NetworkListener",
    "NetworkLoadBalancer",
    "NetworkTargetGroup",
    "Port",
    "Redirect",
    "Rule",
    "SharedGroup",
    "Target",
    "TargetGroup",
    "TargetHealth",
    "TargetState",
    "Undeclared",
]
