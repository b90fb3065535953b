"""Endpoint services, endpoints and their routes by EC2's API, as a client of botocore sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.service import ACCOUNT
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.service import elbv2_service
from pipeline.balancer.endpoint_resources import EndpointState
from pipeline.balancer.wanted import plane_config
from pipeline.base.home import Home
from pipeline.certificates.store import CertificateStore
from pipeline.config.owner_policy import allowed_networks
from pipeline.machine.endpoints.api import Endpoints
from pipeline.machine.network import MachineNetwork, interfaces
from pipeline.network.ec2 import ec2_service
from pipeline.network.lookup import Networks
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.aws import aws_server, refusal
from tests.support.endpoints import consumer, provider

_TAG = "penstock:network"
_NO_HINT = f"give it the tag {_TAG} with docker_network/NAME, namespace/NAME or host"


class Account:
    """The clients of an owner, and the usual steps."""

    def __init__(self, ec2: Any, elbv2: Any, balancer: Balancer, decided: list[tuple[str, str, str]]) -> None:
        self.ec2 = ec2
        self.elbv2 = elbv2
        self.balancer = balancer
        self.decided = decided
        self.subnets = [str(one["SubnetId"]) for one in ec2.describe_subnets()["Subnets"]]
        self.vpc = str(ec2.describe_vpcs()["Vpcs"][0]["VpcId"])
        self.table = str(ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"])

    def gateway(self, name: str = "inspection") -> str:
        """Make a gateway load balancer with a listener, and return its ARN."""
        made = self.elbv2.create_load_balancer(Name=name, Type="gateway", Subnets=self.subnets)
        arn = str(made["LoadBalancers"][0]["LoadBalancerArn"])
        group = self.elbv2.create_target_group(
            Name=name, Protocol="GENEVE", Port=6081, VpcId=self.vpc, TargetType="ip", HealthCheckProtocol="TCP"
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elbv2.create_listener(LoadBalancerArn=arn, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
        return arn

    def service(self, *, required: bool = False, **given: Any) -> dict[str, Any]:
        """Make an endpoint service of a new load balancer, and return it."""
        arns = given.pop("GatewayLoadBalancerArns", None) or [self.gateway()]
        return dict(
            self.ec2.create_vpc_endpoint_service_configuration(
                GatewayLoadBalancerArns=arns, AcceptanceRequired=required, **given
            )["ServiceConfiguration"]
        )

    def endpoint(self, service: dict[str, Any], **given: Any) -> dict[str, Any]:
        """Make an endpoint in the first subnet, and return it."""
        wanted = {"VpcId": self.vpc, "SubnetIds": self.subnets[:1], "ServiceName": service["ServiceName"], **given}
        return dict(self.ec2.create_vpc_endpoint(VpcEndpointType="GatewayLoadBalancer", **wanted)["VpcEndpoint"])

    def tag(self, number: int, text: str) -> None:
        """Say which network of this machine a subnet stands for."""
        self.ec2.create_tags(Resources=[self.subnets[number]], Tags=[{"Key": _TAG, "Value": text}])

    def networks(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        """Return the networks of all endpoints that the plane is to carry: kind, place and routes by the subnet."""
        found = plane_config(self.balancer.registry()).endpoints
        return {each.name: (each.kind, each.place, each.routes) for one in found for each in one.networks}


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    balancer = Balancer(tmp_path / "balancer", FakePlane())
    store, decided = NetworkStore(tmp_path, DEFAULT_ZONES), list[tuple[str, str, str]]()

    def decide(endpoint: str, state: EndpointState, user: str) -> None:
        decided.append((endpoint, state, user))
        balancer.decide(endpoint.removeprefix("vpce-0"), state)

    network = MachineNetwork(Networks(store), DEFAULT_ZONES, CertificateStore(tmp_path), lambda _: ())
    endpoints = Endpoints(balancer, store, decide, partial(allowed_networks, Home(tmp_path)))
    services = (
        elbv2_service(Api(balancer, network)),
        ec2_service(store, lambda owner: interfaces(balancer, owner), lambda _: (), endpoints),
    )
    with aws_server(tmp_path / "keys", services) as server:
        yield Account(server.client("ec2"), server.client("elbv2"), balancer, decided)


def test_a_service_is_made_shown_changed_and_deleted(account: Account) -> None:
    """A second call with the same token makes nothing more."""
    arn = account.gateway()
    tags = [{"ResourceType": "vpc-endpoint-service", "Tags": [{"Key": "team", "Value": "net"}]}]
    made = account.service(required=True, GatewayLoadBalancerArns=[arn], ClientToken="one", TagSpecifications=tags)
    assert made["ServiceName"] == f"com.amazonaws.vpce.eu-west-1.{made['ServiceId']}"
    assert {key: made[key] for key in ("ServiceType", "ServiceState", "AcceptanceRequired", "Tags")} == {
        "ServiceType": [{"ServiceType": "GatewayLoadBalancer"}],
        "ServiceState": "Available",
        "AcceptanceRequired": True,
        "Tags": [{"Key": "team", "Value": "net"}],
    }
    assert made["GatewayLoadBalancerArns"] == [arn]
    assert account.service(GatewayLoadBalancerArns=[arn], ClientToken="one")["ServiceId"] == made["ServiceId"]
    found = account.ec2.describe_vpc_endpoint_service_configurations(
        Filters=[{"Name": "service-id", "Values": [made["ServiceId"]]}]
    )["ServiceConfigurations"]
    assert found == [made]
    (offer,) = account.ec2.describe_vpc_endpoint_services(ServiceNames=[made["ServiceName"]])["ServiceDetails"]
    assert (offer["Owner"], offer["AcceptanceRequired"]) == ("000000000000", True)
    other = account.gateway("other")
    account.ec2.modify_vpc_endpoint_service_configuration(
        ServiceId=made["ServiceId"],
        AcceptanceRequired=False,
        AddGatewayLoadBalancerArns=[other],
        RemoveGatewayLoadBalancerArns=[arn],
    )
    (changed,) = account.ec2.describe_vpc_endpoint_service_configurations()["ServiceConfigurations"]
    assert (changed["AcceptanceRequired"], changed["GatewayLoadBalancerArns"]) == (False, [other])
    assert refusal(account.elbv2.delete_load_balancer, LoadBalancerArn=other)[0] == "ResourceInUse"
    ids = [made["ServiceId"], "vpce-svc-00000000000000000"]
    (left,) = account.ec2.delete_vpc_endpoint_service_configurations(ServiceIds=ids)["Unsuccessful"]
    assert (left["ResourceId"], left["Error"]["Code"]) == (ids[1], "InvalidVpcEndpointServiceId.NotFound")
    assert account.ec2.describe_vpc_endpoint_service_configurations()["ServiceConfigurations"] == []


def test_an_endpoint_gets_the_networks_whose_routes_lead_to_it(account: Account) -> None:
    """Each subnet stands for a network of this machine, which its tag names."""
    service = account.service()
    made = account.endpoint(service)
    assert {key: made[key] for key in ("VpcEndpointType", "State", "VpcId", "SubnetIds", "ServiceName")} == {
        "VpcEndpointType": "GatewayLoadBalancer",
        "State": "available",
        "VpcId": account.vpc,
        "SubnetIds": account.subnets[:1],
        "ServiceName": service["ServiceName"],
    }
    assert account.networks() == {}
    account.tag(0, "namespace/lab")
    account.tag(1, "docker_network/inspected")
    route = {"RouteTableId": account.table, "DestinationCidrBlock": "10.0.0.0/8"}
    account.ec2.create_route(**route, VpcEndpointId=made["VpcEndpointId"])
    first, second = account.subnets
    assert account.networks() == {
        first: ("namespace", "lab", ("10.0.0.0/8",)),
        second: ("docker_network", "inspected", ("10.0.0.0/8",)),
    }
    (table,) = account.ec2.describe_route_tables()["RouteTables"]
    assert made["VpcEndpointId"] in [each.get("GatewayId") for each in table["Routes"]]
    own = account.ec2.create_route_table(VpcId=account.vpc)["RouteTable"]["RouteTableId"]
    account.ec2.associate_route_table(RouteTableId=own, SubnetId=second)
    assert account.networks().keys() == {first}
    account.tag(0, "host")
    assert account.networks()[first][0] == "host"
    assert account.ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])["Unsuccessful"][0]["Error"] == {
        "Code": "DependencyViolation",
        "Message": f"The vpcEndpoint '{made['VpcEndpointId']}' has routes in {account.table} and cannot be deleted.",
    }
    account.ec2.delete_route(**route)
    assert account.networks() == {}
    assert account.ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])["Unsuccessful"] == []
    assert account.ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_a_change_that_attaches_nothing_is_not_made(account: Account) -> None:
    """A subnet without the tag is refused, and the route does not exist afterwards."""
    made = account.endpoint(account.service())
    route = {"RouteTableId": account.table, "DestinationCidrBlock": "0.0.0.0/0"}
    before = account.ec2.describe_route_tables()["RouteTables"]
    refused = refusal(account.ec2.replace_route, **route, VpcEndpointId=made["VpcEndpointId"])
    assert refused == (
        "InvalidParameterValue",
        f"Subnet {account.subnets[0]} stands for no network of this machine: {_NO_HINT}",
    )
    assert account.ec2.describe_route_tables()["RouteTables"] == before
    for text in ("namespace/", "namespace/a b", "host/x", "docker_network/a/b", "lab"):
        account.tag(0, text)
        assert refusal(account.ec2.replace_route, **route, VpcEndpointId=made["VpcEndpointId"])[1] == refused[1]
    unknown = refusal(account.ec2.create_route, **route, VpcEndpointId="vpce-00000000000000000")
    assert unknown[0] == "InvalidVpcEndpointId.NotFound"


def test_a_policy_limits_the_networks(account: Account, tmp_path: Path) -> None:
    """A network that it does not list is not attached, by whatever change. What is attached already stays."""
    made = account.endpoint(account.service())
    account.tag(1, "docker_network/inspected")
    account.tag(0, "host")
    policy = Home(tmp_path).policy("aws")
    policy.parent.mkdir()
    policy.write_text("endpoint_networks: [docker_network/inspected, namespace/lab]\n")
    policy.chmod(0o600)
    route = {"RouteTableId": account.table, "DestinationCidrBlock": "10.0.0.0/8"}
    before = account.ec2.describe_route_tables()["RouteTables"]
    refused = (
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. endpoint_networks in the policy of aws does not list host",
    )
    assert refusal(account.ec2.create_route, **route, VpcEndpointId=made["VpcEndpointId"]) == refused
    assert account.ec2.describe_route_tables()["RouteTables"] == before
    assert account.networks() == {}
    account.tag(0, "namespace/lab")
    account.ec2.create_route(**route, VpcEndpointId=made["VpcEndpointId"])
    tag = {"Key": _TAG, "Value": "host"}
    assert refusal(account.ec2.create_tags, Resources=[account.subnets[0]], Tags=[tag]) == refused
    assert {place for _, place, _ in account.networks().values()} == {"lab", "inspected"}
    policy.write_text("endpoint_networks: []\n")
    account.ec2.create_tags(Resources=[account.subnets[0]], Tags=[{"Key": "team", "Value": "net"}])
    assert {place for _, place, _ in account.networks().values()} == {"lab", "inspected"}
    policy.write_text("endpoint_network: []\n")
    account.ec2.delete_route(**route)
    code, text = refusal(account.ec2.create_route, **route, VpcEndpointId=made["VpcEndpointId"])
    assert "unknown key (did you mean endpoint_networks?)" in text, code


def test_the_subnet_of_an_endpoint_stays(account: Account) -> None:
    """And the VPC with it, until the endpoint is deleted."""
    zone = account.ec2.describe_subnets()["Subnets"][0]["AvailabilityZone"]
    vpc = account.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    place = {"VpcId": vpc, "CidrBlock": "10.9.1.0/24", "AvailabilityZone": zone}
    subnet = account.ec2.create_subnet(**place)["Subnet"]["SubnetId"]
    made = account.endpoint(account.service(), VpcId=vpc, SubnetIds=[subnet])
    assert refusal(account.ec2.delete_subnet, SubnetId=subnet) == (
        "DependencyViolation",
        f"The subnet '{subnet}' has dependencies and cannot be deleted.",
    )
    assert refusal(account.ec2.delete_vpc, VpcId=vpc)[0] == "DependencyViolation"
    account.ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
    account.ec2.delete_subnet(SubnetId=subnet)
    account.ec2.delete_vpc(VpcId=vpc)


def test_tags_change(account: Account) -> None:
    """Those of endpoints and services, together with those of networks. What a pipeline declares keeps its own."""
    service = account.service(GatewayLoadBalancerArns=[account.gateway("own")])
    made = account.endpoint(service)
    ids = [service["ServiceId"], made["VpcEndpointId"], account.vpc]
    account.ec2.create_tags(Resources=ids, Tags=[{"Key": "team", "Value": "net"}, {"Key": "cost", "Value": "1"}])
    of_team = [{"Name": "key", "Values": ["team"]}]
    assert {
        (each["ResourceId"], each["ResourceType"], each["Value"])
        for each in account.ec2.describe_tags(Filters=of_team)["Tags"]
    } == {(ids[0], "vpc-endpoint-service", "net"), (ids[1], "vpc-endpoint", "net"), (ids[2], "vpc", "net")}
    account.ec2.delete_tags(Resources=ids, Tags=[{"Key": "team"}, {"Key": "cost", "Value": "2"}])
    (shown,) = account.ec2.describe_vpc_endpoints()["VpcEndpoints"]
    (offered,) = account.ec2.describe_vpc_endpoint_service_configurations()["ServiceConfigurations"]
    assert shown["Tags"] == offered["Tags"] == [{"Key": "cost", "Value": "1"}]
    unknown = {"Resources": [ids[1], "vpce-00000000000000000"], "Tags": [{"Key": "team", "Value": "x"}]}
    assert refusal(account.ec2.create_tags, **unknown)[0] == "InvalidID"
    dry = {"Resources": ids[:2], "Tags": [{"Key": "team", "Value": "x"}], "DryRun": True}
    assert refusal(account.ec2.create_tags, **dry)[0] == "DryRunOperation"
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert refusal(account.ec2.create_tags, Resources=ids[:1], Tags=many)[0] == "TagLimitExceeded"
    account.balancer.apply("aws", provider())
    declared = next(
        each for each in account.balancer.registry().endpoint_services.values() if each.name == "inspection"
    )
    refused = refusal(account.ec2.create_tags, Resources=[account.vpc, declared.service_id], Tags=many[:1])
    assert refused[0] == "OperationNotPermitted"
    assert account.ec2.describe_tags(Filters=[{"Name": "key", "Values": ["k0"]}])["Tags"] == []
    assert account.ec2.describe_vpc_endpoints()["VpcEndpoints"][0]["Tags"] == [{"Key": "cost", "Value": "1"}]


def test_permissions_are_kept(account: Account) -> None:
    """They limit nothing, because all owners are one account, which may use each service."""
    place = {"ServiceId": account.service()["ServiceId"]}
    of_account = f"arn:aws:iam::{ACCOUNT}:root"
    assert account.ec2.describe_vpc_endpoint_service_permissions(**place)["AllowedPrincipals"] == []
    given = ["*", of_account, f"arn:aws:iam::{ACCOUNT}:role/ci"]
    made = account.ec2.modify_vpc_endpoint_service_permissions(**place, AddAllowedPrincipals=given)
    assert made["ReturnValue"]
    assert [(each["PrincipalType"], each["Principal"]) for each in made["AddedPrincipals"]] == [
        ("All", given[0]),
        ("Account", given[1]),
        ("Role", given[2]),
    ]
    again = account.ec2.modify_vpc_endpoint_service_permissions(
        **place, AddAllowedPrincipals=given, RemoveAllowedPrincipals=["*"]
    )
    assert again["AddedPrincipals"] == []
    shown = account.ec2.describe_vpc_endpoint_service_permissions(**place)["AllowedPrincipals"]
    assert [each["Principal"] for each in shown] == given[1:]
    (role,) = account.ec2.describe_vpc_endpoint_service_permissions(
        **place, Filters=[{"Name": "principal-type", "Values": ["Role"]}]
    )["AllowedPrincipals"]
    assert role["Principal"] == given[2]
    for principal, code in (
        ("arn:aws:iam::123456789012:root", "UnsupportedOperation"),
        ("me", "InvalidParameterValue"),
    ):
        refused = refusal(
            account.ec2.modify_vpc_endpoint_service_permissions, **place, AddAllowedPrincipals=[principal]
        )
        assert refused[0] == code
    assert account.ec2.describe_vpc_endpoint_service_permissions(**place)["AllowedPrincipals"] == shown


def test_the_owner_of_the_service_accepts_and_rejects(account: Account) -> None:
    """The states are EC2's, and an active connection keeps its service."""
    service = account.service(required=True)
    made = account.endpoint(service)
    assert made["State"] == "pendingAcceptance"
    id_, place = made["VpcEndpointId"], {"ServiceId": service["ServiceId"]}
    (shown,) = account.ec2.describe_vpc_endpoint_connections()["VpcEndpointConnections"]
    assert (shown["VpcEndpointId"], shown["VpcEndpointState"]) == (id_, "pendingAcceptance")
    assert account.ec2.accept_vpc_endpoint_connections(**place, VpcEndpointIds=[id_])["Unsuccessful"] == []
    (found,) = account.ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-endpoint-state", "Values": ["available"]}])[
        "VpcEndpoints"
    ]
    assert found["VpcEndpointId"] == id_
    (left,) = account.ec2.delete_vpc_endpoint_service_configurations(ServiceIds=[service["ServiceId"]])["Unsuccessful"]
    assert left["Error"]["Code"] == "ExistingVpcEndpointConnections"
    unknown = ["vpce-00000000000000000", id_]
    (missing,) = account.ec2.reject_vpc_endpoint_connections(**place, VpcEndpointIds=unknown)["Unsuccessful"]
    assert missing["ResourceId"] == unknown[0]
    assert account.decided == [(id_, "available", "aws"), (id_, "rejected", "aws")]
    assert account.ec2.describe_vpc_endpoints()["VpcEndpoints"][0]["State"] == "rejected"
    assert (
        account.ec2.delete_vpc_endpoint_service_configurations(ServiceIds=[service["ServiceId"]])["Unsuccessful"] == []
    )
    (failed,) = account.ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert failed["State"] == "failed"
    assert "there is no endpoint service" in failed["FailureReason"]


def test_what_pipelines_declare_is_shown_and_not_changed(account: Account) -> None:
    """Their services can be used by endpoints of the API."""
    account.balancer.apply("aws", provider())
    account.balancer.apply("shop", consumer("aws/inspection"))
    (service,) = account.ec2.describe_vpc_endpoint_service_configurations()["ServiceConfigurations"]
    (left,) = account.ec2.delete_vpc_endpoint_service_configurations(ServiceIds=[service["ServiceId"]])["Unsuccessful"]
    assert left["Error"]["Code"] == "OperationNotPermitted"
    assert len(account.ec2.describe_vpc_endpoint_connections()["VpcEndpointConnections"]) == 1
    assert account.ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
    assert account.endpoint(service)["State"] == "available"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ServiceName": "com.amazonaws.vpce.eu-west-1.vpce-svc-0"}, "InvalidServiceName"),
        ({"SubnetIds": []}, "InvalidParameter"),
        ({"SubnetIds": ["subnet-1"]}, "InvalidSubnetID.NotFound"),
        ({"VpcId": "vpc-1"}, "InvalidParameter"),
        ({"PrivateDnsEnabled": True}, "UnsupportedOperation"),
        ({"SecurityGroupIds": ["sg-1"]}, "UnsupportedOperation"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_an_endpoint_that_cannot_be_made(account: Account, given: dict[str, Any], code: str) -> None:
    """Nothing is made, with EC2's code."""
    with pytest.raises(Exception, match=code):
        account.endpoint(account.service(), **given)
    assert account.ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_other_kinds_are_refused(account: Account) -> None:
    """Interface endpoints, services of network load balancers, and changes of what is fixed."""
    made = account.endpoint(account.service())
    calls: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
        (account.ec2.create_vpc_endpoint, {"VpcId": account.vpc, "ServiceName": "s3"}, "UnsupportedOperation"),
        (account.ec2.create_vpc_endpoint_service_configuration, {}, "MissingParameter"),
        (
            account.ec2.create_vpc_endpoint_service_configuration,
            {"NetworkLoadBalancerArns": ["arn"]},
            "UnsupportedOperation",
        ),
        (
            account.ec2.create_vpc_endpoint_service_configuration,
            {"GatewayLoadBalancerArns": ["arn:aws:elasticloadbalancing:x"]},
            "InvalidParameter",
        ),
        (
            account.ec2.modify_vpc_endpoint,
            {"VpcEndpointId": made["VpcEndpointId"], "AddSubnetIds": ["subnet-1"]},
            "InvalidParameter",
        ),
        (account.ec2.describe_vpc_endpoints, {"VpcEndpointIds": ["vpce-1"]}, "InvalidVpcEndpointId.NotFound"),
    ]
    for call, given, code in calls:
        assert refusal(call, **given)[0] == code
    assert account.ec2.modify_vpc_endpoint(VpcEndpointId=made["VpcEndpointId"])["Return"] is True
