"""The cases of moto 5.2.5 in which Penstock follows AWS. `docs/aws.md` explains them to users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

_MAIN, _RULES, _GROUPS = "test_elbv2", "test_elbv2_listener_rules", "test_elbv2_target_groups"

DIFFERENCES: Mapping[str, tuple[str, ...]] = {
    "the values and the messages of an older model": (
        f"{_MAIN}::test_create_listeners_with_invalid_protocol[application-INVALID",
        f"{_MAIN}::test_create_listeners_with_invalid_protocol[network-INVALID",
        f"{_MAIN}::test_set_ip_address_type",
        f"{_MAIN}::test_ip_address_type_validation",
        f"{_MAIN}::test_modify_listener_http_to_https",
        f"{_MAIN}::test_oidc_action_listener[",
        f"{_RULES}::test_create_rule_action[action2]",
        f"{_GROUPS}::test_create_target_group_with_invalid_healthcheck_protocol",
        f"{_GROUPS}::test_create_target_group_invalid_protocol",
        f"{_GROUPS}::test_create_target_group_with_target_type[other]",
    ),
    "a scheme and security groups of a gateway load balancer": (
        f"{_MAIN}::test_create_gateway_listener_with_invalid_params[",
    ),
    "actions that log users in": (
        f"{_MAIN}::test_create_rule_forward_config_as_second_arg",
        f"{_MAIN}::test_cognito_action_listener_rule",
        f"{_MAIN}::test_oidc_action_listener__simple",
        f"{_RULES}::test_create_rule_action[action0]",
        f"{_RULES}::test_create_rule_action[action1]",
    ),
    "what AWS refuses": (
        f"{_MAIN}::test_create_rule_priority_in_use",
        f"{_MAIN}::test_modify_rule_conditions",
        f"{_MAIN}::test_handle_listener_rules",
        f"{_MAIN}::test_add_listener_certificate",
        f"{_MAIN}::test_redirect_action_listener_rule",
        f"{_MAIN}::test_create_listener_with_alpn_policy",
        "test_elbv2_listener_attributes::test_modify_listener_attributes[tcp.idle_timeout.seconds-350-360]",
        f"{_GROUPS}::test_describe_target_groups",
        f"{_GROUPS}::test_create_target_group_with_target_type[alb]",
    ),
    "attributes": (
        f"{_MAIN}::test_modify_load_balancer_attributes_crosszone_enabled",
        f"{_MAIN}::test_modify_load_balancer_attributes_secondary_ips_auto_assigned_per_subnet",
        f"{_MAIN}::test_describe_load_balancer_attributes_default",
        f"{_MAIN}::test_modify_load_balancer_attributes_connection_logs_s3",
        f"{_GROUPS}::test_target_group_attributes",
    ),
    "names, tags, regions and stopped instances": (
        f"{_MAIN}::test_create_load_balancer",
        f"{_MAIN}::test_add_remove_tags",
        f"{_MAIN}::test_create_elb_in_multiple_region",
        f"{_MAIN}::test_stopped_instance_target",
        f"{_MAIN}::test_terminated_instance_target",
    ),
    "templates with a misspelt property": (
        "test_elbv2_cloudformation::test_redirect_action_listener_rule_cloudformation",
        "test_elbv2_cloudformation::test_cognito_action_listener_rule_cloudformation",
        "test_elbv2_cloudformation::test_fixed_response_action_listener_rule_cloudformation",
        "test_elbv2_cloudformation::test_https_listener_rule_with_certificate_cloudformation",
    ),
}
"""Reason → cases, `MODULE::NAME`. A case that ends in `[…` or `-` stands for all that begin with it."""


def counts(failed: Collection[str]) -> Mapping[str, int]:
    """Return how many of the failed cases have each reason."""
    return Counter(reason for case in failed if (reason := reason_of(case)))


def reason_of(case: str) -> str | None:
    """Return why a case fails, or None if it should pass."""
    return next((reason for reason, known in DIFFERENCES.items() if any(_is(case, one) for one in known)), None)


def passing(failed: Collection[str]) -> list[str]:
    """Return the known cases of which none has failed."""
    known = [one for cases in DIFFERENCES.values() for one in cases]
    return [one for one in known if not any(_is(case, one) for case in failed)]


def _is(case: str, known: str) -> bool:
    return case == known or (not known.endswith("]") and "[" in known and case.startswith(known))
