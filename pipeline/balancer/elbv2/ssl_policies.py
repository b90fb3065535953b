"""The TLS policies of listeners: protocols and cipher suites by name, as ELB's tables list them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.pages import page
from pipeline.balancer.model.ssl_policy import DEFAULT_POLICY, SSL_POLICIES, TLS13_SUITES, SslPolicyName

_KINDS = ["application", "network"]


def check_policy(name: str | None) -> SslPolicyName:
    """Return a policy's name; None is the default of pipeline.yaml. Raises `SSLPolicyNotFound`."""
    for known in SSL_POLICIES:
        if known == (name or DEFAULT_POLICY):
            return known
    raise AwsError("SSLPolicyNotFound", f"SSL policy '{name}' not found; there are {', '.join(SSL_POLICIES)}")


def describe_ssl_policies(_: Api, call: Call) -> Mapping[str, Any]:
    """DescribeSSLPolicies."""
    given = call.parameters
    names = list(dict.fromkeys(map(check_policy, given.get("Names", ())))) or sorted(SSL_POLICIES)
    if given.get("LoadBalancerType", "application") not in _KINDS:
        names = []
    shown, more = (names, {}) if given.get("Names") else page(names, given, str)
    return {"SslPolicies": [_shown(name) for name in shown], **more}


def _shown(name: SslPolicyName) -> dict[str, Any]:
    policy = SSL_POLICIES[name]
    suites = [*(TLS13_SUITES if policy.versions[-1] == "TLSv1.3" else ()), *policy.suites]
    return {
        "Name": name,
        "SslProtocols": list(reversed(policy.versions)),
        "Ciphers": [{"Name": suite, "Priority": number} for number, suite in enumerate(suites, 1)],
        "SupportedLoadBalancerTypes": _KINDS,
    }
