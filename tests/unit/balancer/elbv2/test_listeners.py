"""Listeners, their certificates and attributes by ELBv2's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.balancer.model.tls import Certificate
from tests.support.elbv2 import Elbv2, attributes, fake_elbv2, forward

CERTIFICATES = [f"arn:aws:acm:us-east-1:000000000000:certificate/{number}" for number in range(4)]
FIXED = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain"}}


@pytest.fixture
def elbv2(tmp_path: Path) -> Elbv2:
    client = fake_elbv2(tmp_path)
    client.network.certificates = {arn: Certificate(certificate=f"/{arn[-1]}.pem") for arn in CERTIFICATES}
    return client


def shown(elbv2: Elbv2, arn: str) -> dict[str, Any]:
    found: dict[str, Any] = elbv2("DescribeListeners", ListenerArns=[arn])["Listeners"][0]
    return found


def https(number: int = 0, **given: Any) -> dict[str, Any]:
    return {"Protocol": "HTTPS", "Certificates": [{"CertificateArn": CERTIFICATES[number]}], **given}


def test_a_listener_is_given_back_as_it_was_created(elbv2: Elbv2) -> None:
    """Its ARN has those of its load balancer. Actions are given back as they were set, with AWS's defaults."""
    balancer, group = elbv2.load_balancer(), elbv2.target_group()
    arn = elbv2.listener(balancer, group)
    found = shown(elbv2, arn)
    assert arn.startswith(balancer.replace(":loadbalancer/", ":listener/") + "/")
    assert (found["Protocol"], found["Port"], found["LoadBalancerArn"]) == ("HTTP", 18080, balancer)
    assert found["DefaultActions"] == [forward(group)]
    assert elbv2.listener(balancer, group) == arn
    with pytest.raises(AwsError, match=rf"^DuplicateListener: .*for this load balancer '{balancer}'"):
        elbv2.listener(balancer, group, DefaultActions=[FIXED])


def test_a_secure_listener_has_aws_default_policy(elbv2: Elbv2) -> None:
    """And its certificate, and no mutual authentication."""
    arn = elbv2.listener(elbv2.load_balancer(), elbv2.target_group(), **https())
    found = shown(elbv2, arn)
    assert found["SslPolicy"] == "ELBSecurityPolicy-2016-08"
    assert found["Certificates"] == [{"CertificateArn": CERTIFICATES[0]}]
    assert found["MutualAuthentication"] == {"Mode": "off"}
    (effective,) = elbv2.balancer.registry().certificates.values()
    assert effective.certificate.certificate == "/0.pem"


def test_a_listener_for_connections(elbv2: Elbv2) -> None:
    """TLS has a policy for application protocols. Rules are refused."""
    balancer, group = elbv2.load_balancer(Type="network"), elbv2.target_group(Protocol="TCP")
    arn = elbv2.listener(balancer, group, **https(Protocol="TLS", AlpnPolicy=["HTTP2Preferred"]))
    assert shown(elbv2, arn)["AlpnPolicy"] == ["HTTP2Preferred"]
    with pytest.raises(AwsError, match=r"^UnsupportedProtocol: Rules are not supported"):
        elbv2.rule(arn, group, 1)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Port": None}, "ValidationError: A listener port must be specified"),
        ({"Protocol": None}, "ValidationError: A listener protocol must be specified"),
        ({"Protocol": "TCP"}, "ValidationError: Listener protocol 'TCP' must be one of 'HTTP, HTTPS'"),
        ({"Protocol": "TLS"}, "ValidationError: Listener protocol 'TLS' must be one of 'HTTP, HTTPS'"),
        ({"Protocol": "HTTPS"}, "ValidationError: A certificate must be specified for HTTPS listeners"),
        (
            {"Protocol": "HTTPS", "Certificates": [{"CertificateArn": CERTIFICATES[0]}] * 2},
            "InvalidConfigurationRequest: You must provide a list containing exactly one",
        ),
        (
            https(CERTIFICATES.index(CERTIFICATES[0]), SslPolicy="none"),
            "SSLPolicyNotFound: SSL policy 'none' not found",
        ),
        ({"Protocol": "HTTPS", "Certificates": [{"CertificateArn": "x"}]}, "CertificateNotFound: Certificate x not"),
        ({"SslPolicy": "ELBSecurityPolicy-2016-08"}, "ValidationError: An SSL policy cannot be specified"),
        ({"Certificates": [{"CertificateArn": CERTIFICATES[0]}]}, "ValidationError: A certificate cannot be specified"),
        ({"AlpnPolicy": ["None"]}, "InvalidConfigurationRequest: Only a TLS listener"),
        (https(MutualAuthentication={"Mode": "verify"}), "TrustStoreNotFound"),
        ({"MutualAuthentication": {"Mode": "passthrough"}}, "InvalidConfigurationRequest: Mutual authentication needs"),
        ({"DefaultActions": [FIXED, FIXED]}, "InvalidLoadBalancerAction"),
        ({"DefaultActions": [{"Type": "authenticate-oidc"}]}, "InvalidLoadBalancerAction: .* no login of users"),
        ({"DefaultActions": [{"Type": "redirect"}]}, "ValidationError: A 'RedirectConfig' must be specified"),
        ({"DefaultActions": [{"Type": "forward"}]}, "ValidationError: A target group ARN must be specified"),
        ({"DefaultActions": [forward("none")]}, "TargetGroupNotFound: Target group 'none' not found"),
        (
            {
                "DefaultActions": [
                    {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "ContentType": "x"}}
                ]
            },
            "InvalidLoadBalancerAction: The ContentType must be one of",
        ),
    ],
)
def test_a_creation_that_is_not_possible_changes_nothing(elbv2: Elbv2, given: dict[str, Any], error: str) -> None:
    """Each mistake has AWS's code."""
    balancer, group = elbv2.load_balancer(), elbv2.target_group()
    parameters = {"Protocol": "HTTP", "Port": 18080, "DefaultActions": [forward(group)], **given}
    with pytest.raises(AwsError, match=rf"^{error}"):
        elbv2(
            "CreateListener",
            LoadBalancerArn=balancer,
            **{name: value for name, value in parameters.items() if value is not None},
        )
    assert not elbv2.balancer.registry().listeners


def test_a_listener_without_a_default_action_answers_503(elbv2: Elbv2) -> None:
    """Clients of AWS cannot make one, so none relies on an error. It is given back as it was set."""
    arn = elbv2.listener(elbv2.load_balancer(), elbv2.target_group(), DefaultActions=[])
    assert shown(elbv2, arn)["DefaultActions"] == []
    (made,) = elbv2.balancer.registry().listeners.values()
    assert made.settings.default_action is not None
    assert made.settings.default_action.fixed_response is not None
    assert made.settings.default_action.fixed_response.status_code == "503"
    network = elbv2.load_balancer("net", Type="network")
    with pytest.raises(AwsError, match=r"^ValidationError: At least one action must be specified"):
        elbv2("CreateListener", LoadBalancerArn=network, Protocol="TCP", Port=18090, DefaultActions=[])


def test_two_load_balancers_do_not_share_a_port_of_a_zone(elbv2: Elbv2) -> None:
    """They have the same addresses here. The error names the other one. Another zone is free."""
    group = elbv2.target_group()
    elbv2.listener(elbv2.load_balancer(), group)
    with pytest.raises(AwsError, match=r"^InvalidConfigurationRequest: port 18080 .* is taken by load balancer edge"):
        elbv2.listener(elbv2.load_balancer("other"), group)
    elbv2.listener(elbv2.load_balancer("third", Subnets=["subnet-c"]), group)


def test_a_listener_is_modified_in_part(elbv2: Elbv2) -> None:
    """What a call leaves out stays. Without TLS, certificate and policy go."""
    balancer, group = elbv2.load_balancer(), elbv2.target_group()
    arn = elbv2.listener(balancer, group)
    policy = "ELBSecurityPolicy-TLS13-1-3-2021-06"
    elbv2("ModifyListener", ListenerArn=arn, Port=18443, **https(SslPolicy=policy))
    found = shown(elbv2, arn)
    assert (found["Port"], found["Protocol"], found["SslPolicy"]) == (18443, "HTTPS", policy)
    assert found["DefaultActions"] == [forward(group)]
    elbv2("ModifyListener", ListenerArn=arn, Certificates=[{"CertificateArn": CERTIFICATES[1]}])
    assert shown(elbv2, arn)["Certificates"] == [{"CertificateArn": CERTIFICATES[1]}]
    assert shown(elbv2, arn)["SslPolicy"] == policy
    elbv2("ModifyListener", ListenerArn=arn, MutualAuthentication={"Mode": "passthrough"})
    assert shown(elbv2, arn)["MutualAuthentication"] == {"Mode": "passthrough"}
    elbv2("ModifyListener", ListenerArn=arn, Protocol="HTTP", DefaultActions=[FIXED])
    found = shown(elbv2, arn)
    assert not found.keys() & {"Certificates", "SslPolicy", "MutualAuthentication"}
    assert found["DefaultActions"] == [FIXED]
    assert not elbv2.balancer.registry().certificates
    elbv2.listener(balancer, group, 18090)
    with pytest.raises(AwsError, match=r"^DuplicateListener"):
        elbv2("ModifyListener", ListenerArn=arn, Port=18090)


def test_weights_and_stickiness_are_given_back(elbv2: Elbv2) -> None:
    """With the weight that AWS reports for a group without one."""
    balancer, web, api = elbv2.load_balancer(), elbv2.target_group(), elbv2.target_group("api")
    stickiness = {"Enabled": True, "DurationSeconds": 60}
    groups = [{"TargetGroupArn": web, "Weight": 3}, {"TargetGroupArn": api}]
    config = {"TargetGroups": groups, "TargetGroupStickinessConfig": stickiness}
    arn = elbv2.listener(balancer, web, DefaultActions=[{"Type": "forward", "Order": 1, "ForwardConfig": config}])
    (action,) = shown(elbv2, arn)["DefaultActions"]
    groups[1]["Weight"] = 1
    assert action == {"Type": "forward", "Order": 1, "ForwardConfig": config}
    (made,) = elbv2.balancer.registry().listeners.values()
    assert made.settings.default_action is not None
    assert [one.weight for one in made.settings.default_action.groups()] == [3, 1]


def test_certificates_are_added_and_removed(elbv2: Elbv2) -> None:
    """The default one comes first and cannot be removed."""
    arn = elbv2.listener(elbv2.load_balancer(), elbv2.target_group(), **https())
    others = [{"CertificateArn": one} for one in CERTIFICATES[1:3]]
    elbv2("AddListenerCertificates", ListenerArn=arn, Certificates=others)
    elbv2("AddListenerCertificates", ListenerArn=arn, Certificates=others)
    first = elbv2("DescribeListenerCertificates", ListenerArn=arn, PageSize=2)
    rest = elbv2("DescribeListenerCertificates", ListenerArn=arn, Marker=first["NextMarker"])
    found = [(one["CertificateArn"], one["IsDefault"]) for page in (first, rest) for one in page["Certificates"]]
    assert found == [(CERTIFICATES[0], True), (CERTIFICATES[1], False), (CERTIFICATES[2], False)]
    elbv2("RemoveListenerCertificates", ListenerArn=arn, Certificates=others[:1])
    assert len(elbv2("DescribeListenerCertificates", ListenerArn=arn)["Certificates"]) == 2
    with pytest.raises(AwsError, match=r"^OperationNotPermitted: The default certificate cannot be removed"):
        elbv2("RemoveListenerCertificates", ListenerArn=arn, Certificates=[{"CertificateArn": CERTIFICATES[0]}])
    with pytest.raises(AwsError, match=r"^TooManyCertificates"):
        elbv2("AddListenerCertificates", ListenerArn=arn, Certificates=others * 20)
    plain = elbv2.listener(elbv2.load_balancer(), elbv2.target_group(), 18090)
    with pytest.raises(AwsError, match=r"^ValidationError: Certificates need a listener with"):
        elbv2("AddListenerCertificates", ListenerArn=plain, Certificates=others)


def test_attributes_are_given_back(elbv2: Elbv2) -> None:
    """An empty value resets one. The headers about TLS are those of a listener with TLS."""
    arn = elbv2.listener(elbv2.load_balancer(), elbv2.target_group())
    key = "routing.http.response.x_frame_options.header_value"
    before = attributes(elbv2("DescribeListenerAttributes", ListenerArn=arn))
    assert (before[key], before["routing.http.response.server.enabled"]) == ("", "true")
    assert not any(name.startswith("routing.http.request.") for name in before)
    for value in ("DENY", ""):
        elbv2("ModifyListenerAttributes", ListenerArn=arn, Attributes=[{"Key": key, "Value": value}])
        assert attributes(elbv2("DescribeListenerAttributes", ListenerArn=arn))[key] == value
    secure = elbv2.listener(elbv2.load_balancer(), elbv2.target_group(), 18443, **https())
    name = "routing.http.request.x_amzn_tls_version.header_name"
    elbv2("ModifyListenerAttributes", ListenerArn=secure, Attributes=[{"Key": name, "Value": "X-Tls"}])
    assert attributes(elbv2("DescribeListenerAttributes", ListenerArn=secure))[name] == "X-Tls"
    with pytest.raises(AwsError, match=r"attribute key 'tcp.idle_timeout.seconds' is not recognized"):
        elbv2(
            "ModifyListenerAttributes", ListenerArn=arn, Attributes=[{"Key": "tcp.idle_timeout.seconds", "Value": "60"}]
        )


def test_a_deleted_listener_is_gone(elbv2: Elbv2) -> None:
    """With its rules. Deleting it again is an error, as in AWS."""
    group = elbv2.target_group()
    arn = elbv2.listener(elbv2.load_balancer(), group)
    elbv2.rule(arn, group, 1)
    elbv2("DeleteListener", ListenerArn=arn)
    assert not elbv2.balancer.registry().rules
    for operation in ("DeleteListener", "DescribeListenerAttributes"):
        with pytest.raises(AwsError, match=r"^ListenerNotFound: One or more listeners not found"):
            elbv2(operation, ListenerArn=arn)
    with pytest.raises(AwsError, match=r"^ValidationError: You must specify either listener ARNs or a load balancer"):
        elbv2("DescribeListeners")


def test_policies_are_described_with_their_suites(elbv2: Elbv2) -> None:
    """By ELB's tables."""
    (found,) = elbv2("DescribeSSLPolicies", Names=["ELBSecurityPolicy-2016-08"])["SslPolicies"]
    assert found["SslProtocols"] == ["TLSv1.2", "TLSv1.1", "TLSv1.0"]
    assert found["Ciphers"][0] == {"Name": "ECDHE-ECDSA-AES128-GCM-SHA256", "Priority": 1}
    assert len(elbv2("DescribeSSLPolicies", PageSize=5)["SslPolicies"]) == 5
    assert elbv2("DescribeSSLPolicies", LoadBalancerType="gateway")["SslPolicies"] == []
    with pytest.raises(AwsError, match=r"^SSLPolicyNotFound"):
        elbv2("DescribeSSLPolicies", Names=["none"])
