"""`pipeline balancer import-classic`: classic load balancers as declarations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.balancer.classic.description import parse_description
from pipeline.balancer.classic.translation import translate
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError
from pipeline.cli.program import cli
from pipeline.config.load import load

_ARN = "arn:aws:iam::123456789012:server-certificate/shop"
DESCRIBED: dict[str, Any] = {
    "LoadBalancerName": "shop",
    "DNSName": "shop-1234567890.us-west-2.elb.amazonaws.com",
    "CanonicalHostedZoneName": "shop-1234567890.us-west-2.elb.amazonaws.com",
    "CanonicalHostedZoneNameID": "Z3DZXE0EXAMPLE",
    "ListenerDescriptions": [
        {
            "Listener": {
                "Protocol": "HTTP",
                "LoadBalancerPort": 80,
                "InstanceProtocol": "HTTP",
                "InstancePort": 8080,
            },
            "PolicyNames": ["own"],
        },
        {
            "Listener": {
                "Protocol": "HTTPS",
                "LoadBalancerPort": 443,
                "InstanceProtocol": "HTTP",
                "InstancePort": 8080,
                "SSLCertificateId": _ARN,
            },
            "PolicyNames": ["tls", "own"],
        },
        {
            "Listener": {
                "Protocol": "TCP",
                "LoadBalancerPort": 5432,
                "InstanceProtocol": "TCP",
                "InstancePort": 5432,
            },
            "PolicyNames": [],
        },
        {
            "Listener": {
                "Protocol": "SSL",
                "LoadBalancerPort": 6443,
                "InstanceProtocol": "SSL",
                "InstancePort": 6443,
                "SSLCertificateId": _ARN,
            },
            "PolicyNames": [],
        },
        {
            "Listener": {
                "Protocol": "TCP",
                "LoadBalancerPort": 7443,
                "InstanceProtocol": "SSL",
                "InstancePort": 7443,
            },
            "PolicyNames": [],
        },
    ],
    "Policies": {
        "AppCookieStickinessPolicies": [],
        "LBCookieStickinessPolicies": [{"PolicyName": "own", "CookieExpirationPeriod": 3600}],
        "OtherPolicies": ["tls", "proxy"],
    },
    "BackendServerDescriptions": [{"InstancePort": 5432, "PolicyNames": ["proxy"]}],
    "AvailabilityZones": ["us-west-2a", "us-west-2b"],
    "Subnets": ["subnet-15aaab61"],
    "VPCId": "vpc-a01106c2",
    "Instances": [{"InstanceId": "i-207d9717"}, {"InstanceId": "i-afefb49b"}],
    "HealthCheck": {
        "Target": "HTTP:8080/health?full=1",
        "Interval": 30,
        "Timeout": 5,
        "UnhealthyThreshold": 2,
        "HealthyThreshold": 10,
    },
    "SourceSecurityGroup": {"OwnerAlias": "123456789012", "GroupName": "shop"},
    "SecurityGroups": ["sg-a61988c3"],
    "CreatedTime": "2015-03-19T03:24:02.650000+00:00",
    "Scheme": "internal",
}
ATTRIBUTES: dict[str, Any] = {
    "CrossZoneLoadBalancing": {"Enabled": True},
    "AccessLog": {"Enabled": True, "S3BucketName": "logs", "EmitInterval": 60, "S3BucketPrefix": ""},
    "ConnectionDraining": {"Enabled": True, "Timeout": 120},
    "ConnectionSettings": {"IdleTimeout": 30},
    "AdditionalAttributes": [{"Key": "elb.http.desyncmitigationmode", "Value": "strictest"}],
}
POLICIES: list[dict[str, Any]] = [
    {
        "PolicyName": "tls",
        "PolicyTypeName": "SSLNegotiationPolicyType",
        "PolicyAttributeDescriptions": [
            {"AttributeName": "Reference-Security-Policy", "AttributeValue": "ELBSecurityPolicy-2016-08"}
        ],
    },
    {
        "PolicyName": "proxy",
        "PolicyTypeName": "ProxyProtocolPolicyType",
        "PolicyAttributeDescriptions": [{"AttributeName": "ProxyProtocol", "AttributeValue": "true"}],
    },
    {"PolicyName": "keys", "PolicyTypeName": "PublicKeyPolicyType", "PolicyAttributeDescriptions": []},
]
_CHECK = {
    "protocol": "HTTP",
    "path": "/health?full=1",
    "matcher": "200",
    "interval": "30s",
    "timeout": "5s",
    "healthy_threshold": 10,
    "unhealthy_threshold": 2,
}
_CERTIFICATES = [{"certificate": "certificates/shop.pem", "private_key": "certificates/shop.key"}]
EXPECTED: dict[str, Any] = {
    "target_groups": {
        "http-8080": {
            "protocol": "HTTP",
            "port": 8080,
            "health_check": _CHECK,
            "deregistration_delay": "120s",
            "attributes": {
                "stickiness.enabled": True,
                "stickiness.type": "lb_cookie",
                "stickiness.lb_cookie.duration_seconds": 3600,
            },
        },
        "tcp-5432": {
            "protocol": "TCP",
            "port": 5432,
            "health_check": {**_CHECK, "port": 8080},
            "deregistration_delay": "120s",
            "attributes": {"proxy_protocol_v2.enabled": True},
        },
        "tls-6443": {
            "protocol": "TLS",
            "port": 6443,
            "health_check": {**_CHECK, "port": 8080},
            "deregistration_delay": "120s",
        },
    },
    "load_balancers": {
        "shop": {
            "type": "application",
            "scheme": "internal",
            "attributes": {
                "idle_timeout.timeout_seconds": 30,
                "routing.http.desync_mitigation_mode": "strictest",
            },
            "listeners": [
                {"protocol": "HTTP", "port": 80, "default_action": {"forward": "http-8080"}},
                {
                    "protocol": "HTTPS",
                    "port": 443,
                    "certificates": _CERTIFICATES,
                    "ssl_policy": "ELBSecurityPolicy-TLS13-1-0-2021-06",
                    "default_action": {"forward": "http-8080"},
                },
            ],
        },
        "shop-tcp": {
            "type": "network",
            "scheme": "internal",
            "attributes": {"load_balancing.cross_zone.enabled": True},
            "listeners": [
                {
                    "protocol": "TCP",
                    "port": 5432,
                    "attributes": {"tcp.idle_timeout.seconds": 60},
                    "default_action": {"forward": "tcp-5432"},
                },
                {
                    "protocol": "TLS",
                    "port": 6443,
                    "certificates": _CERTIFICATES,
                    "attributes": {"tcp.idle_timeout.seconds": 60},
                    "default_action": {"forward": "tls-6443"},
                },
            ],
        },
    },
}
NOTES = [
    f"listener 443: write {_ARN} and its key into certificates/shop.pem and certificates/shop.key",
    "listener 443: ELBSecurityPolicy-2016-08 becomes ELBSecurityPolicy-TLS13-1-0-2021-06, which has TLS 1.3 too",
    "the idle timeout of 30 s becomes 60 s for connections",
    "port 5432: targets get the PROXY header in version 2; a classic one has version 1",
    f"listener 6443: write {_ARN} and its key into certificates/shop.pem and certificates/shop.key",
    "listener 7443 is left out: a TCP listener cannot encrypt connections to its targets",
    "2 instances: Penstock registers the containers that it deploys",
    "availability zones us-west-2a, us-west-2b: to have nodes in zones, declare `zones` with an address for each",
    "security groups sg-a61988c3: use the machine's firewall",
    "the access log to S3: `pipeline balancer log` prints it",
    "policy keys of type PublicKeyPolicyType",
    "a pipeline deploys into one target group; these may need pipelines of their own: http-8080, tcp-5432, tls-6443",
]


def described(**changes: Any) -> dict[str, Any]:
    return {"LoadBalancerDescriptions": [{**DESCRIBED, **changes}]}


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["balancer", "import-classic", *arguments], input=given)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """What the AWS CLI prints for a load balancer, its attributes and its policies, in a file each."""
    parts = {
        "balancers": described(),
        "attributes": {"LoadBalancerAttributes": ATTRIBUTES},
        "policies": {"PolicyDescriptions": POLICIES},
    }
    for name, part in parts.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
    return [str(tmp_path / f"{name}.json") for name in parts]


def test_everything_is_carried_over_or_noted(files: list[str]) -> None:
    """The declaration has what Penstock has too, and each note names something else."""
    done = run(*files)
    assert done.exit_code == 0, done.output
    assert YAML(typ="safe").load(done.stdout) == {"balancer": EXPECTED}
    assert done.stderr.splitlines() == [f"note: {note}" for note in NOTES]


def test_the_output_is_valid_in_a_pipeline(files: list[str], tmp_path: Path) -> None:
    """The printed section completes a pipeline.yaml."""
    (tmp_path / "certificates").mkdir()
    for name in ("shop.pem", "shop.key"):
        (tmp_path / "certificates" / name).write_text("")
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"name: shop\ndeploy:\n  target_group: http-8080\n{run(*files).stdout}")
    assert set(load(file).pipeline.balancer.load_balancers) == {"shop", "shop-tcp"}


def test_the_standard_input(files: list[str]) -> None:
    """A dash is the standard input, and attributes need not be given."""
    done = run("-", given=Path(files[0]).read_text())
    assert done.exit_code == 0
    assert "note: LoadBalancerAttributes are not given, so draining and the idle time have Penstock's defaults" in (
        done.stderr.splitlines()
    )


@pytest.mark.parametrize(
    ("changes", "expected", "note"),
    [
        (
            {"HealthCheck": {**DESCRIBED["HealthCheck"], "Target": "SSL:8080"}},
            {"protocol": "TCP"},
            "the health check by SSL becomes one by TCP, which only connects",
        ),
        ({"HealthCheck": {**DESCRIBED["HealthCheck"], "Target": "tcp:9000"}}, {"protocol": "TCP", "port": 9000}, None),
    ],
)
def test_health_checks(changes: dict[str, Any], expected: dict[str, Any], note: str | None) -> None:
    """A check that connects has no path and no matcher."""
    found = translate(parse_description(described(**changes)))
    check = found.balancer["target_groups"]["http-8080"]["health_check"]
    assert {key: check[key] for key in ("protocol", "port", "path", "matcher") if key in check} == expected
    assert note is None or note in found.notes


@pytest.mark.parametrize(
    ("policies", "expected", "note"),
    [
        (
            {"AppCookieStickinessPolicies": [{"PolicyName": "own", "CookieName": "SID"}]},
            {"stickiness.type": "app_cookie", "stickiness.app_cookie.cookie_name": "SID"},
            None,
        ),
        (
            {"LBCookieStickinessPolicies": [{"PolicyName": "own"}]},
            {"stickiness.type": "lb_cookie"},
            "listener 80: its cookie lasts for a day, and not as long as the browser runs",
        ),
        (
            {"LBCookieStickinessPolicies": [{"PolicyName": "own", "CookieExpirationPeriod": 700_000}]},
            {"stickiness.type": "lb_cookie", "stickiness.lb_cookie.duration_seconds": 604_800},
            "listener 80: its cookie lasts for 7 days instead of 700000 s",
        ),
    ],
)
def test_cookies(policies: dict[str, Any], expected: dict[str, Any], note: str | None) -> None:
    """A cookie of the application or of the load balancer becomes the stickiness of the target group."""
    found = translate(parse_description(described(Policies=policies)))
    attributes = found.balancer["target_groups"]["http-8080"]["attributes"]
    assert attributes == {"stickiness.enabled": True, **expected}
    assert note is None or note in found.notes


def test_listeners_with_other_cookies_have_other_groups() -> None:
    """A target group has one kind of stickiness, so a listener without it gets a group of its own."""
    first, second, *_ = DESCRIBED["ListenerDescriptions"]
    both = [first, {**second, "PolicyNames": []}]
    found = translate(parse_description(described(ListenerDescriptions=both)))
    assert list(found.balancer["target_groups"]) == ["http-8080", "http-8080-2"]


def test_requests_that_stay_in_their_zone() -> None:
    """Without cross-zone balancing, groups of requests turn it off. Those with cookies cannot."""
    given = {**described(), "LoadBalancerAttributes": {**ATTRIBUTES, "CrossZoneLoadBalancing": {"Enabled": False}}}
    found = translate(parse_description(given))
    assert "load_balancing.cross_zone.enabled" not in found.balancer["target_groups"]["http-8080"]["attributes"]
    assert "cross-zone load balancing stays on for groups with cookies, which need it" in found.notes
    given["LoadBalancerDescriptions"][0]["Policies"] = {}
    found = translate(parse_description(given))
    assert found.balancer["target_groups"]["http-8080"]["attributes"] == {"load_balancing.cross_zone.enabled": False}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "FILE:1:2 is not JSON: Expecting property name enclosed in double quotes"),
        ("[]", "FILE must be a JSON object with LoadBalancerDescriptions"),
        (
            '{"LoadBalancers": []}',
            "there are no LoadBalancerDescriptions / `aws elb describe-load-balancers` prints them as JSON",
        ),
        (
            json.dumps({"LoadBalancerDescriptions": [DESCRIBED, {**DESCRIBED, "LoadBalancerName": "other"}]}),
            "2 load balancers are described / set --name to one of shop, other",
        ),
        (
            json.dumps(described(HealthCheck={**DESCRIBED["HealthCheck"], "Target": "HTTP:80"})),
            "LoadBalancerDescriptions[0].HealthCheck.Target: must be HTTP:PORT/PATH, HTTPS:PORT/PATH, TCP:PORT or "
            "SSL:PORT, got HTTP:80",
        ),
        (
            json.dumps(described(ListenerDescriptions=DESCRIBED["ListenerDescriptions"][-1:])),
            "no listener of shop can be carried over: listener 7443 is left out: a TCP listener cannot encrypt "
            "connections to its targets",
        ),
    ],
)
def test_mistakes(content: str, error: str, tmp_path: Path) -> None:
    """An unusable description is refused, with its place."""
    file = tmp_path / "classic.json"
    file.write_text(content)
    refused = run(str(file)).exception
    assert isinstance(refused, ConfigError)
    assert str(refused).replace("\n", " / ") == error.replace("FILE", str(file))


def test_one_of_several() -> None:
    """A load balancer is chosen by its name, and another name is refused with those that exist."""
    both = json.dumps({"LoadBalancerDescriptions": [DESCRIBED, {**DESCRIBED, "LoadBalancerName": "other"}]})
    chosen = YAML(typ="safe").load(run("-", "--name", "other", given=both).stdout)
    assert list(chosen["balancer"]["load_balancers"]) == ["other", "other-tcp"]
    assert str(run("-", "--name", "othre", given=both).exception) == (
        "load balancer othre is not declared\ndid you mean other?; declared: other, shop"
    )


_PORTS = st.integers(1, 65535)
_LISTENERS = st.one_of(
    st.tuples(st.sampled_from(["HTTP", "HTTPS"]), st.sampled_from(["HTTP", "HTTPS"])),
    st.tuples(st.sampled_from(["TCP", "SSL"]), st.sampled_from(["TCP", "SSL"])),
)


@given(
    listeners=st.dictionaries(
        _PORTS, st.tuples(_LISTENERS, st.sampled_from([1, 2, 3]), st.booleans()), min_size=1, max_size=5
    ),
    target=st.sampled_from(["HTTP:80/", "HTTPS:1/a?b=c", "TCP:2", "SSL:3"]),
    idle=st.integers(1, 4000),
    draining=st.integers(1, 3600),
    enabled=st.booleans(),
)
def test_every_translation_is_valid(
    listeners: dict[int, Any], target: str, idle: int, draining: int, enabled: bool
) -> None:
    """Whatever a classic load balancer has, its declaration is valid and has the listeners that are possible."""
    given = described(
        ListenerDescriptions=[
            {
                "Listener": {
                    "Protocol": protocol,
                    "LoadBalancerPort": port,
                    "InstanceProtocol": of_targets,
                    "InstancePort": behind,
                },
                "PolicyNames": ["own"] if sticky and protocol in ("HTTP", "HTTPS") else [],
            }
            for port, ((protocol, of_targets), behind, sticky) in listeners.items()
        ],
        HealthCheck={**DESCRIBED["HealthCheck"], "Target": target},
    )
    given["LoadBalancerAttributes"] = {
        **ATTRIBUTES,
        "ConnectionSettings": {"IdleTimeout": idle},
        "ConnectionDraining": {"Enabled": enabled, "Timeout": draining},
        "CrossZoneLoadBalancing": {"Enabled": enabled},
    }
    left_out = {port for port, (protocols, _, _) in listeners.items() if protocols == ("TCP", "SSL")}
    if left_out == listeners.keys():
        with pytest.raises(ConfigError):
            translate(parse_description(given))
        return
    declared = Declaration.model_validate(translate(parse_description(given)).balancer)
    assert {listener.port for _, _, listener in declared.listeners()} == listeners.keys() - left_out
    Registry().declare("shop", declared)
