"""Rules by ELBv2's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.balancer.model import Declaration
from tests.support.elbv2 import Elbv2, fake_elbv2, forward

FIXED = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
REDIRECT = {
    "Protocol": "HTTPS",
    "Port": "443",
    "Host": "#{host}",
    "Path": "/#{path}",
    "Query": "#{query}",
    "StatusCode": "HTTP_301",
}
CONDITIONS = [
    {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}},
    {"Field": "host-header", "Values": ["a.example.com"]},
    {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/a+$"]}},
    {"Field": "path-pattern", "RegexValues": ["^/a+$"]},
    {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["b*"]}},
    {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "a", "Value": "b"}, {"Value": "c"}]}},
    {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}},
    {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.1/8"]}},
]
PATH = [{"Field": "path-pattern", "Values": ["/a/*"]}]


@pytest.fixture
def elbv2(tmp_path: Path) -> Elbv2:
    return fake_elbv2(tmp_path)


@pytest.fixture
def group(elbv2: Elbv2) -> str:
    return elbv2.target_group()


@pytest.fixture
def listener(elbv2: Elbv2, group: str) -> str:
    return elbv2.listener(elbv2.load_balancer(), group)


def create(elbv2: Elbv2, listener: str, **given: Any) -> dict[str, Any]:
    parameters = {"Priority": 1, "Conditions": PATH, "Actions": [FIXED], **given}
    made: dict[str, Any] = elbv2("CreateRule", ListenerArn=listener, **parameters)["Rules"][0]
    return made


def priorities(elbv2: Elbv2, listener: str) -> list[str]:
    return [one["Priority"] for one in elbv2("DescribeRules", ListenerArn=listener)["Rules"]]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_is_given_back_as_it_was_set(elbv2: Elbv2, listener: str, condition: dict[str, Any]) -> None:
    """In the form that its client has chosen, and not as the balancer stores it."""
    made = create(elbv2, listener, Conditions=[condition])
    assert made["Conditions"] == [condition]
    assert elbv2("DescribeRules", RuleArns=[made["RuleArn"]])["Rules"] == [made]


def test_a_rule_without_conditions_applies_to_every_request(elbv2: Elbv2, listener: str) -> None:
    """All of no conditions hold. It is given back as it was set."""
    assert create(elbv2, listener, Conditions=[])["Conditions"] == []
    (made,) = elbv2.balancer.registry().rules.values()
    assert made.rule.conditions[0].path_pattern is not None
    assert made.rule.conditions[0].path_pattern.values == ("*",)


def test_actions_and_transforms_are_given_back(elbv2: Elbv2, listener: str, group: str) -> None:
    """With AWS's defaults for what was left out."""
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    transform = {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "^/a", "Replace": "/b"}]}}
    made = create(elbv2, listener, Actions=[{"Type": "redirect", "RedirectConfig": redirect}])
    assert made["Actions"] == [{"Type": "redirect", "RedirectConfig": REDIRECT}]
    made = create(elbv2, listener, Priority=2, Actions=[forward(group)], Transforms=[transform])
    assert (made["Actions"], made["Transforms"]) == ([forward(group)], [transform])
    changed = elbv2("ModifyRule", RuleArn=made["RuleArn"], ResetTransforms=True)["Rules"][0]
    assert "Transforms" not in changed
    assert changed["Actions"] == made["Actions"]


def test_tokens_can_be_validated(elbv2: Elbv2, listener: str, group: str) -> None:
    """The keys come from an https:// URL only, because a file of this machine is not the client's."""
    config = {"JwksEndpoint": "/etc/keys", "Issuer": "i"}
    actions = [{"Type": "jwt-validation", "Order": 1, "JwtValidationConfig": config}, {**forward(group), "Order": 2}]
    with pytest.raises(AwsError, match=r"^ValidationError: JwksEndpoint must be an https:// URL"):
        create(elbv2, listener, Actions=actions)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Actions": []}, "ValidationError: At least one action must be specified"),
        ({"Conditions": [{"Field": "host-header"}]}, "ValidationError: A condition value must be specified"),
        (
            {"Conditions": [{"Field": "none", "Values": ["x"]}]},
            "ValidationError: Condition field 'none' must be one of",
        ),
        (
            {"Conditions": [{"Field": "source-ip", "Values": ["x"]}]},
            "ValidationError: The 'Values' field is not compatible",
        ),
        ({"Conditions": [{"Values": ["/a"]}]}, "ValidationError: A condition field must be specified"),
        (
            {"Conditions": [{**PATH[0], "PathPatternConfig": {"Values": ["/a"]}}]},
            "ValidationError: You cannot provide both Values and 'PathPatternConfig' for a condition",
        ),
        (
            {"Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": [*"/////a"]}}]},
            "ValidationError: A rule can only have '5' condition values",
        ),
        ({"Conditions": [*PATH, *PATH]}, "ValidationError: conditions: must hold path_pattern once"),
        ({"Conditions": [{"Field": "path-pattern", "Values": ["/a b"]}]}, "ValidationError: .*must hold only letters"),
        ({"Conditions": [{"Field": "path-pattern", "Values": ["/a", "/b"]}]}, "ValidationError: .*too many values"),
        (
            {"Actions": [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"}}]},
            "ValidationError: redirect",
        ),
        (
            {"Actions": [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Path": "new"}}]},
            "InvalidLoadBalancerAction: The Path parameter must be a valid path, should start with a '/'",
        ),
        ({"Transforms": [{"Type": "url-rewrite"}]}, "ValidationError: A 'UrlRewriteConfig' must have exactly one"),
    ],
)
def test_a_rule_that_is_not_possible_changes_nothing(
    elbv2: Elbv2, listener: str, given: dict[str, Any], error: str
) -> None:
    """Each mistake has AWS's code."""
    with pytest.raises(AwsError, match=rf"^{error}"):
        create(elbv2, listener, **given)
    assert priorities(elbv2, listener) == ["default"]


def test_priorities_are_unique_and_may_be_swapped(elbv2: Elbv2, listener: str, group: str) -> None:
    """The order afterwards counts."""
    first, second, third = (elbv2.rule(listener, group, number, f"/{number}/*") for number in (1, 2, 3))
    with pytest.raises(AwsError, match=r"^PriorityInUse: The specified priority is in use\."):
        elbv2.rule(listener, group, 2)
    pairs = [{"RuleArn": first, "Priority": 2}, {"RuleArn": second, "Priority": 1}]
    shown = elbv2("SetRulePriorities", RulePriorities=pairs)["Rules"]
    assert [(one["RuleArn"], one["Priority"]) for one in shown] == [(first, "2"), (second, "1")]
    assert [one["RuleArn"] for one in elbv2("DescribeRules", ListenerArn=listener)["Rules"]][:3] == [
        second,
        first,
        third,
    ]
    with pytest.raises(AwsError, match=r"^PriorityInUse"):
        elbv2("SetRulePriorities", RulePriorities=[{"RuleArn": first, "Priority": 3}])
    with pytest.raises(AwsError, match=r"^ValidationError: Priority '5' was provided multiple times"):
        elbv2("SetRulePriorities", RulePriorities=[{"RuleArn": arn, "Priority": 5} for arn in (first, second)])
    assert priorities(elbv2, listener) == ["1", "2", "3", "default"]


def test_a_rule_is_modified_in_part(elbv2: Elbv2, listener: str, group: str) -> None:
    """What a call leaves out stays."""
    made = create(elbv2, listener)
    changed = elbv2("ModifyRule", RuleArn=made["RuleArn"], Actions=[forward(group)])["Rules"][0]
    assert (changed["Conditions"], changed["Actions"]) == (PATH, [forward(group)])
    changed = elbv2("ModifyRule", RuleArn=made["RuleArn"], Conditions=CONDITIONS[:1])["Rules"][0]
    assert (changed["Conditions"], changed["Actions"]) == (CONDITIONS[:1], [forward(group)])
    with pytest.raises(AwsError, match=r"^ValidationError: Either conditions or actions must be specified"):
        elbv2("ModifyRule", RuleArn=made["RuleArn"])


def test_the_default_rule_is_that_of_the_listener(elbv2: Elbv2, listener: str, group: str) -> None:
    """It comes last, and can be neither changed nor deleted nor moved."""
    elbv2.rule(listener, group, 7)
    *_, default = elbv2("DescribeRules", ListenerArn=listener)["Rules"]
    arn = default["RuleArn"]
    assert (default["Priority"], default["IsDefault"], default["Actions"]) == ("default", True, [forward(group)])
    assert elbv2("DescribeRules", RuleArns=[arn])["Rules"] == [default]
    for operation, given in (
        ("DeleteRule", {"RuleArn": arn}),
        ("ModifyRule", {"RuleArn": arn, "Actions": [FIXED]}),
        ("SetRulePriorities", {"RulePriorities": [{"RuleArn": arn, "Priority": 1}]}),
    ):
        with pytest.raises(AwsError, match=r"^OperationNotPermitted"):
            elbv2(operation, **given)


def test_pages_hold_every_rule_once(elbv2: Elbv2, listener: str, group: str) -> None:
    """In the order of the priorities, and the default one last."""
    for number in (30, 4, 200):
        elbv2.rule(listener, group, number)
    found: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = elbv2("DescribeRules", ListenerArn=listener, PageSize=1, **marker)
        found += [one["Priority"] for one in page["Rules"]]
        if "NextMarker" not in page:
            break
        marker = {"Marker": page["NextMarker"]}
    assert found == ["4", "30", "200", "default"]


def test_unknown_rules_are_not_found(elbv2: Elbv2, listener: str) -> None:
    """With AWS's code. One kind of filter is needed."""
    with pytest.raises(AwsError, match=r"^RuleNotFound: One or more rules not found"):
        elbv2("DescribeRules", RuleArns=["none"])
    for given in ({}, {"RuleArns": []}, {"ListenerArn": listener, "RuleArns": ["x"]}):
        with pytest.raises(AwsError, match=r"^ValidationError: You must specify either"):
            elbv2("DescribeRules", **given)


def test_rules_of_pipeline_yaml_are_described_as_aws_would(elbv2: Elbv2) -> None:
    """Every condition and action, from its model."""
    conditions = [
        {"http_header": {"name": "X-A", "values": ["b"]}},
        {"query_string": [{"key": "a", "value": "b"}]},
        {"http_request_method": ["GET"]},
        {"source_ip": ["10.0.0.0/8"]},
    ]
    redirect = {"redirect": {"protocol": "HTTPS", "port": "443", "status_code": "HTTP_301"}}
    rules = [
        {"priority": 1, "conditions": conditions, "action": redirect},
        {"priority": 2, "conditions": [{"host_header": ["a.b"]}], "action": {"fixed_response": {"status_code": "404"}}},
        {
            "priority": 3,
            "conditions": [{"path_pattern": {"regex_values": ["^/a"]}}],
            "action": {"forward": {"target_groups": ["web"], "stickiness": {"duration": "1m"}}},
        },
    ]
    listener = {"port": 18080, "rules": rules, "default_action": {"forward": "web"}}
    declaration = {"target_groups": {"web": {"port": 80}}, "load_balancers": {"main": {"listeners": [listener]}}}
    elbv2.balancer.apply("shop", Declaration.model_validate(declaration))
    (balancer,) = elbv2("DescribeLoadBalancers")["LoadBalancers"]
    (found,) = elbv2("DescribeListeners", LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    one, two, three, _ = elbv2("DescribeRules", ListenerArn=found["ListenerArn"])["Rules"]
    assert [condition["Field"] for condition in one["Conditions"]] == [
        "http-header",
        "query-string",
        "http-request-method",
        "source-ip",
    ]
    assert one["Actions"] == [{"Type": "redirect", "RedirectConfig": REDIRECT, "Order": 1}]
    assert two["Actions"][0]["FixedResponseConfig"]["StatusCode"] == "404"
    assert three["Conditions"] == [{"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/a"]}}]
    config = three["Actions"][0]["ForwardConfig"]
    assert config["TargetGroupStickinessConfig"] == {"Enabled": True, "DurationSeconds": 60}
    with pytest.raises(AwsError, match=r"^OperationNotPermitted: The rule 1 of shop is declared in the pipeline.yaml"):
        elbv2("DeleteRule", RuleArn=one["RuleArn"])
