"""AWS::ElasticLoadBalancingV2::ListenerRule."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pipeline.balancer.resources import RuleResource
from pipeline.stacks.provider import Pending, Properties, State
from pipeline.stacks.providers.elbv2.action import Action
from pipeline.stacks.providers.elbv2.condition import Condition, Transform
from pipeline.stacks.providers.elbv2.properties import parameters
from pipeline.stacks.providers.elbv2.resource import Elbv2Resource, described
from pipeline.stacks.providers.elbv2.takeover import as_given, take_over


class ListenerRuleProperties(Properties):
    """The properties of a rule."""

    listener_arn: str
    priority: int = Field(ge=1, le=50000)
    conditions: list[Condition]
    actions: list[Action]
    transforms: list[Transform] = Field(default_factory=list)


class ListenerRule(Elbv2Resource[ListenerRuleProperties]):
    """Makes rules."""

    kind = "rules"
    noun = "Rule"
    properties = ListenerRuleProperties
    replaces = frozenset({"ListenerArn"})

    def _make(self, token: str, properties: ListenerRuleProperties) -> str:
        made = self.elbv2("CreateRule", token, **parameters(properties))
        return str(made["Rules"][0]["RuleArn"])

    def _change(self, arn: str, before: ListenerRuleProperties, after: ListenerRuleProperties) -> Pending | None:  # noqa: ARG002
        def switch() -> State:
            self._switch(arn, after)
            return self._state(arn)

        pending = take_over(
            self.elbv2,
            as_given(self.elbv2, self.elbv2.view().rule(arn)),
            parameters(after)["Actions"],
            lambda actions: self.elbv2("ModifyRule", RuleArn=arn, Actions=actions),
            switch,
        )
        if not pending:
            self._switch(arn, after)
        return pending

    def _switch(self, arn: str, after: ListenerRuleProperties) -> None:
        wanted = parameters(after)
        if described(self.elbv2, self.noun, arn)["Priority"] != str(after.priority):
            self.elbv2("SetRulePriorities", RulePriorities=[{"RuleArn": arn, "Priority": after.priority}])
        transforms = {"Transforms": wanted["Transforms"]} if wanted.get("Transforms") else {"ResetTransforms": True}
        self.elbv2("ModifyRule", RuleArn=arn, Conditions=wanted["Conditions"], Actions=wanted["Actions"], **transforms)

    def _state(self, arn: str) -> State:
        shown = described(self.elbv2, self.noun, arn)
        rule = self.elbv2.view().rule(arn)
        assert isinstance(rule, RuleResource)
        properties: dict[str, Any] = {
            "ListenerArn": self.elbv2.view().arn(self.elbv2.view().listener_of(rule)),
            "Priority": int(shown["Priority"]),
            "Conditions": shown["Conditions"],
            "Actions": as_given(self.elbv2, rule),
            "Transforms": shown.get("Transforms", []),
        }
        return State(arn, {"RuleArn": arn, "IsDefault": shown["IsDefault"]}, properties)
