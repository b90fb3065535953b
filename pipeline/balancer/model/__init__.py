"""What a load balancer is made of: the nouns of AWS ELB, with its names and meanings, for one machine.

Names and ranges follow the `elbv2` service model; where a default or a range differs, the field says so,
because ELB's timings (30 s between checks, 300 s of draining) are made for another scale.
"""

from __future__ import annotations

from pipeline.balancer.model.action import Action, FixedResponse, Forward, Redirect
from pipeline.balancer.model.condition import Condition
from pipeline.balancer.model.declaration import Declaration
from pipeline.balancer.model.health_check import HealthCheck
from pipeline.balancer.model.listener import Listener
from pipeline.balancer.model.load_balancer import LoadBalancer
from pipeline.balancer.model.resource import Name, Port, Resource
from pipeline.balancer.model.rule import Rule
from pipeline.balancer.model.target import Target, TargetHealth, TargetState
from pipeline.balancer.model.target_group import TargetGroup

__all__ = [
    "Action",
    "Condition",
    "Declaration",
    "FixedResponse",
    "Forward",
    "HealthCheck",
    "Listener",
    "LoadBalancer",
    "Name",
    "Port",
    "Redirect",
    "Resource",
    "Rule",
    "Target",
    "TargetGroup",
    "TargetHealth",
    "TargetState",
]
