"""ELBv2 in the networks of a home: subnets, addresses, certificates, containers and functions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.service import Call
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.service import elbv2_service
from pipeline.certificates.acm import acm_service
from pipeline.certificates.store import CertificateStore
from pipeline.machine.network import MachineNetwork, certificate_users, interfaces
from pipeline.network.attached import Instance
from pipeline.network.ec2 import ec2_service
from pipeline.network.lookup import Networks
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.testing.fakes.data_plane import FakePlane

OWNER = "shop"


class Account:
    """The operations of three services on one home."""

    def __init__(self, folder: Path) -> None:
        self.instances: list[Instance] = []
        self.balancer = Balancer(folder / "balancer", FakePlane())
        networks, certificates = NetworkStore(folder, DEFAULT_ZONES), CertificateStore(folder)
        network = MachineNetwork(Networks(networks), DEFAULT_ZONES, certificates, lambda _: self.instances)
        services = (
            elbv2_service(Api(self.balancer, network)),
            ec2_service(networks, lambda owner: interfaces(self.balancer, owner), lambda _: self.instances),
            acm_service(certificates, lambda owner: certificate_users(self.balancer, owner)),
        )
        self._operations = {name: one for service in services for name, one in service.operations.items()}

    def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return dict(self._operations[operation](Call(OWNER, "us-east-1", parameters)))


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path)


def subnets(account: Account) -> list[str]:
    return [one["SubnetId"] for one in account("DescribeSubnets")["Subnets"]]


def test_a_load_balancer_listens_in_the_zones_of_its_subnets(account: Account) -> None:
    """Each node is a network interface of EC2."""
    made = account("CreateLoadBalancer", Name="edge", Subnets=subnets(account))["LoadBalancers"][0]
    (known,) = account.balancer.registry().load_balancers.values()
    assert known.settings.bind_addresses == ("127.0.0.1", "127.0.0.2")
    found = account("DescribeNetworkInterfaces")["NetworkInterfaces"]
    assert [one["PrivateIpAddress"] for one in found] == ["127.0.0.1", "127.0.0.2"]
    name = made["LoadBalancerArn"].partition(":loadbalancer/")[2]
    assert {one["Description"] for one in found} == {f"ELB {name}"}


def test_an_allocated_address_is_that_of_the_node(account: Account) -> None:
    """No other load balancer has it, so the port is free there."""
    address = account("AllocateAddress")
    mapping = {"SubnetId": subnets(account)[0], "AllocationId": address["AllocationId"]}
    account("CreateLoadBalancer", Name="edge", Type="network", SubnetMappings=[mapping])
    (known,) = account.balancer.registry().load_balancers.values()
    assert known.settings.bind_addresses == (address["PublicIp"],)


def test_a_certificate_of_acm_is_in_use(account: Account) -> None:
    """By the load balancer, so that ACM refuses to delete it."""
    arn = account("RequestCertificate", DomainName="shop.example")["CertificateArn"]
    balancer = account("CreateLoadBalancer", Name="edge", Subnets=subnets(account))["LoadBalancers"][0][
        "LoadBalancerArn"
    ]
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    account(
        "CreateListener",
        LoadBalancerArn=balancer,
        Protocol="HTTPS",
        Port=18443,
        Certificates=[{"CertificateArn": arn}],
        DefaultActions=[fixed],
    )
    assert account("DescribeCertificate", CertificateArn=arn)["Certificate"]["InUseBy"] == [balancer]
    (known,) = account.balancer.registry().certificates.values()
    assert Path(known.certificate.certificate).exists()


def test_targets_are_containers_by_name(account: Account) -> None:
    """Also those of functions. One that has stopped is none."""
    started = datetime.now(UTC)
    account.instances = [
        Instance("web-1", "image", "172.17.0.2", "running", started),
        Instance("web-2", "image", "172.17.0.3", "exited", started),
    ]
    vpc = account("DescribeVpcs")["Vpcs"][0]["VpcId"]
    group = account("CreateTargetGroup", Name="web", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    zone = account("DescribeAvailabilityZones")["AvailabilityZones"][0]["ZoneName"]
    targets = [{"Id": "web-1", "AvailabilityZone": zone}]
    account("RegisterTargets", TargetGroupArn=group["TargetGroupArn"], Targets=targets)
    with pytest.raises(Exception, match="not in a running state"):
        account("RegisterTargets", TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "web-2"}])
    function = account("CreateTargetGroup", Name="fn", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    arn = "arn:aws:lambda:us-east-1:000000000000:function:web-1"
    account("RegisterTargets", TargetGroupArn=function, Targets=[{"Id": arn}])
    known = account.balancer.registry()
    (web,), (invoked,) = known.registrations(OWNER, "web"), known.registrations(OWNER, "fn")
    assert (web.target.address, web.target.port, web.target.zone) == ("172.17.0.2", 80, zone)
    assert (invoked.target.address, invoked.target.port) == ("172.17.0.2", 8080)
