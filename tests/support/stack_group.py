"""A load balancer with a target group as a stack makes them, put into the registry directly."""

from __future__ import annotations

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.compile import compile_declaration
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import BalancerResource

MAKER = "stack/edge"
GROUP = "web"


def make_group(balancer: Balancer, owner: str, port: int, *, used: bool = True, delay: str = "10s") -> str:
    """Make a target group, and a listener at `port` that forwards to it if it is `used`. Return the group's ARN."""
    others = {"default_action": {"fixed_response": {"status_code": 404}}}
    declaration = Declaration.model_validate(
        {
            "target_groups": {
                GROUP: {
                    "port": 80,
                    "health_check": {"path": "/healthz", "interval": "200ms"},
                    "deregistration_delay": delay,
                }
            },
            "load_balancers": {
                "edge": {"listeners": [{"port": port, **({"default_action": {"forward": GROUP}} if used else others)}]}
            },
        }
    )
    balancer.change(owner, lambda known: _with(known, owner, declaration))
    return group_arn(balancer, owner)


def remove_group(balancer: Balancer, owner: str) -> None:
    """Remove what `make_group` has made."""
    made = [each.id for each in balancer.registry().all() if (each.owner, each.made_by) == (owner, MAKER)]
    balancer.change(owner, lambda known: known.drop(*made))


def group_arn(balancer: Balancer, owner: str) -> str:
    """Return the ARN of the target group."""
    groups = balancer.registry().target_groups.values()
    found = next(group for group in groups if (group.owner, group.name) == (owner, GROUP))
    return f"arn:aws:elasticloadbalancing:eu-west-1:000000000000:targetgroup/{found.name}/{found.id}"


def _with(known: Registry, owner: str, declaration: Declaration) -> Registry:
    made = compile_declaration(owner, declaration, known).all()
    return known.put(*map(_of_stack, made))


def _of_stack(resource: BalancerResource) -> BalancerResource:
    return resource.model_copy(update={"made_by": MAKER})
