"""The service `elbv2` for the endpoint: its operations by AWS's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pipeline.aws.service import Call, Operation, Service
from pipeline.balancer.elbv2 import (
    certificates,
    limits,
    listener_attributes,
    listeners,
    load_balancer_attributes,
    load_balancers,
    rules,
    ssl_policies,
    tags,
    target_group_attributes,
    target_groups,
    target_health,
    targets,
    unused,
)
from pipeline.balancer.elbv2.api import Api

_OPERATIONS: dict[str, Callable[[Api, Call], Mapping[str, Any]]] = {
    "AddListenerCertificates": certificates.add_listener_certificates,
    "AddTags": tags.add_tags,
    "AddTrustStoreRevocations": unused.no_trust_store,
    "CreateListener": listeners.create_listener,
    "CreateLoadBalancer": load_balancers.create_load_balancer,
    "CreateRule": rules.create_rule,
    "CreateTargetGroup": target_groups.create_target_group,
    "CreateTrustStore": unused.create_trust_store,
    "DeleteListener": listeners.delete_listener,
    "DeleteLoadBalancer": load_balancers.delete_load_balancer,
    "DeleteRule": rules.delete_rule,
    "DeleteSharedTrustStoreAssociation": unused.no_trust_store,
    "DeleteTargetGroup": target_groups.delete_target_group,
    "DeleteTrustStore": unused.no_trust_store,
    "DeregisterTargets": targets.deregister_targets,
    "DescribeAccountLimits": limits.describe_account_limits,
    "DescribeCapacityReservation": unused.describe_capacity_reservation,
    "DescribeListenerAttributes": listener_attributes.describe_listener_attributes,
    "DescribeListenerCertificates": certificates.describe_listener_certificates,
    "DescribeListeners": listeners.describe_listeners,
    "DescribeLoadBalancerAttributes": load_balancer_attributes.describe_load_balancer_attributes,
    "DescribeLoadBalancers": load_balancers.describe_load_balancers,
    "DescribeRules": rules.describe_rules,
    "DescribeSSLPolicies": ssl_policies.describe_ssl_policies,
    "DescribeTags": tags.describe_tags,
    "DescribeTargetGroupAttributes": target_group_attributes.describe_target_group_attributes,
    "DescribeTargetGroups": target_groups.describe_target_groups,
    "DescribeTargetHealth": target_health.describe_target_health,
    "DescribeTrustStoreAssociations": unused.no_trust_store,
    "DescribeTrustStoreRevocations": unused.no_trust_store,
    "DescribeTrustStores": unused.describe_trust_stores,
    "GetResourcePolicy": unused.get_resource_policy,
    "GetTrustStoreCaCertificatesBundle": unused.no_trust_store,
    "GetTrustStoreRevocationContent": unused.no_trust_store,
    "ModifyCapacityReservation": unused.modify_capacity_reservation,
    "ModifyIpPools": unused.modify_ip_pools,
    "ModifyListener": listeners.modify_listener,
    "ModifyListenerAttributes": listener_attributes.modify_listener_attributes,
    "ModifyLoadBalancerAttributes": load_balancer_attributes.modify_load_balancer_attributes,
    "ModifyRule": rules.modify_rule,
    "ModifyTargetGroup": target_groups.modify_target_group,
    "ModifyTargetGroupAttributes": target_group_attributes.modify_target_group_attributes,
    "ModifyTrustStore": unused.no_trust_store,
    "RegisterTargets": targets.register_targets,
    "RemoveListenerCertificates": certificates.remove_listener_certificates,
    "RemoveTags": tags.remove_tags,
    "RemoveTrustStoreRevocations": unused.no_trust_store,
    "SetIpAddressType": load_balancers.set_ip_address_type,
    "SetRulePriorities": rules.set_rule_priorities,
    "SetSecurityGroups": load_balancers.set_security_groups,
    "SetSubnets": load_balancers.set_subnets,
}
# What these name (subnets, security groups, addresses, certificates) must not be deleted meanwhile.
_REFERRING = frozenset(
    (
        "AddListenerCertificates",
        "CreateListener",
        "CreateLoadBalancer",
        "ModifyListener",
        "SetSecurityGroups",
        "SetSubnets",
    )
)


def elbv2_service(api: Api) -> Service:
    """Return the service over a balancer."""
    operations: dict[str, Operation] = {name: partial(operation, api) for name, operation in _OPERATIONS.items()}
    operations |= {name: partial(_holding, api, operations[name]) for name in _REFERRING}
    return Service("elbv2", "2015-12-01", "elasticloadbalancing", operations)


def _holding(api: Api, operation: Operation, call: Call) -> Mapping[str, Any]:
    with api.network.holding():
        return operation(call)
