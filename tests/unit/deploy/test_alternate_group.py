"""The alternate group of a service, as preflight checks it and deployments declare it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from pipeline.api import StageContext
from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.model import Declaration, Rule
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import RuleResource, with_groups
from pipeline.base.errors import ConfigError
from pipeline.config.release import ReleaseSpec
from stages.deploy.alternate_group import with_current_alternates
from stages.deploy.stage import DockerDeploy
from tests.unit.deploy.shifts import Shop

CANARY = "{type: canary, percent: 10, bake_time: 6s}"


def with_rule_of_a_client(registry: Registry) -> Registry:
    """Return a registry in which a client of the API of AWS has made a rule that forwards to the group of web."""
    (listener,), (group,) = registry.listeners.values(), registry.target_groups.values()
    rule = Rule.model_validate({"priority": 5, "conditions": [{"path_pattern": ["/x"]}], "action": {"forward": "web"}})
    rule = rule.model_copy(update={"action": with_groups(rule.action, {"web": group.id})})
    return registry.put(
        RuleResource(id="0123456789abcdef", owner="shop", made_by="elbv2", listener=listener.id, rule=rule)
    )


def test_preflight_finds_what_forbids_to_divide(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a hook or the release command of the deployment runs. A rolling deployment divides nothing."""
    with ExitStack() as running:
        shop = running.enter_context(Shop(context, monkeypatch).running())
        shop.strategy = "rolling"
        shop.deploy("a")
        shop.balancer.change("shop", with_rule_of_a_client)
        DockerDeploy().preflight(shop.context())
        shop.strategy = CANARY
        with pytest.raises(ConfigError, match=r"^rule 5 of shop, made by elbv2, forwards to target group web, whose"):
            DockerDeploy().preflight(shop.context())
        assert shop.shares() == {}


def test_a_group_that_the_next_release_does_not_use() -> None:
    """Its alternate group, which a failed rollback may leave, is not declared again."""
    groups = {"web": {"port": 80}, "api": {"port": 80}}
    listeners = [
        {"port": 8000, "default_action": {"forward": "web"}},
        {"port": 8001, "default_action": {"forward": "api"}},
    ]
    both = declaration(groups, listeners)
    former = with_alternates(both, {"api": Alternate(10.0)})
    wanted = declaration(groups, listeners[:1])
    assert with_current_alternates(wanted, former, SPEC) == wanted
    assert with_current_alternates(both, former, SPEC) == former


SPEC = ReleaseSpec.model_construct(services={})


def declaration(groups: object, listeners: object) -> Declaration:
    """Return the declaration of a load balancer."""
    return Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": {"listeners": listeners}}})
