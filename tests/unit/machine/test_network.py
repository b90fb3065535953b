"""ELBv2 in the networks of a home: subnets, addresses, certificates, containers and functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import PlaneConfig
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.service import elbv2_service
from pipeline.balancer.names.directory import Directory
from pipeline.balancer.resources import LoadBalancerResource
from pipeline.base.lock import is_held
from pipeline.certificates.acm import acm_service
from pipeline.certificates.store import CertificateStore
from pipeline.machine.network import MachineNetwork, certificate_users, interfaces
from pipeline.network.attached import Instance
from pipeline.network.ec2 import ec2_service
from pipeline.network.lookup import Networks
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES, Zone, parse_zones
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.waiting import until

OWNER = "shop"


class Account:
    """The operations of three services on one home."""

    def __init__(self, folder: Path, zones: Sequence[Zone] = DEFAULT_ZONES, plane: FakePlane | None = None) -> None:
        self.instances: list[Instance] = []
        self.balancer = Balancer(folder / "balancer", plane or FakePlane())
        networks, certificates = NetworkStore(folder, zones), CertificateStore(folder)
        network = MachineNetwork(Networks(networks), zones, certificates, lambda _: self.instances)
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


def test_a_load_balancer_has_addresses_of_its_own_in_a_prefix(tmp_path: Path) -> None:
    """Two load balancers have the same port, and each keeps its address. A zone with one address shares it."""
    account = Account(tmp_path, parse_zones(["a=127.10.0.0/24", "b=127.0.0.2"]))
    both = subnets(account)
    made = {name: account("CreateLoadBalancer", Name=name, Subnets=both)["LoadBalancers"][0] for name in ("one", "two")}
    one, two = (nodes(account, name) for name in made)
    assert one["a"] != two["a"]
    assert all(each["a"].startswith("127.10.0.") for each in (one, two))
    assert one["b"] == two["b"] == "127.0.0.2"
    shown = made["one"]["AvailabilityZones"]
    assert [each.get("LoadBalancerAddresses") for each in shown] == [[{"IpAddress": one["a"]}], None]
    found = account("DescribeNetworkInterfaces")["NetworkInterfaces"]
    assert {each["PrivateIpAddress"] for each in found} == {one["a"], two["a"], "127.0.0.2"}
    names = Directory.from_registry(account.balancer.registry(), lambda *_: True).entries
    assert [str(node.address) for node in names["one.shop"].nodes] == list(one.values())
    for each in made.values():
        listen(account, each["LoadBalancerArn"], 80, both[:1])


def listen(account: Account, balancer: str, port: int, places: Sequence[str]) -> None:
    """Enable a load balancer in these subnets only, with a listener."""
    account("SetSubnets", LoadBalancerArn=balancer, Subnets=list(places))
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    account("CreateListener", LoadBalancerArn=balancer, Protocol="HTTP", Port=port, DefaultActions=[fixed])


def nodes(account: Account, name: str) -> dict[str, str]:
    """Return the addresses of a load balancer by zone."""
    return {zone: str(each.address) for zone, each in (resource(account, name).settings.zones or {}).items()}


def resource(account: Account, name: str) -> LoadBalancerResource:
    return next(one for one in account.balancer.registry().load_balancers.values() if one.name == name)


def test_an_address_stays(tmp_path: Path) -> None:
    """Through the same call again, other subnets and a deletion. It is that of no other load balancer meanwhile."""
    account = Account(tmp_path, parse_zones(["a=127.10.0.0/24", "b=127.11.0.0/24"]))
    both = subnets(account)
    call = {"Name": "edge", "Subnets": both}
    arn = account("CreateLoadBalancer", **call)["LoadBalancers"][0]["LoadBalancerArn"]
    first = nodes(account, "edge")
    assert account("CreateLoadBalancer", **call)["LoadBalancers"][0]["LoadBalancerArn"] == arn
    shown = account("SetSubnets", LoadBalancerArn=arn, Subnets=both[:1])["AvailabilityZones"]
    assert shown[0]["LoadBalancerAddresses"] == [{"IpAddress": first["a"]}]
    account("SetSubnets", LoadBalancerArn=arn, Subnets=both)
    assert nodes(account, "edge") == first
    later = Account(tmp_path, parse_zones(["a=127.12.0.0/24", "b=127.0.0.2"]))
    assert later("CreateLoadBalancer", **call)["LoadBalancers"][0]["LoadBalancerArn"] == arn
    assert nodes(later, "edge") == first
    account("DeleteLoadBalancer", LoadBalancerArn=arn)
    account("CreateLoadBalancer", **call)
    assert nodes(account, "edge") == first


def test_a_prefix_has_as_many_load_balancers_as_addresses(tmp_path: Path) -> None:
    """The next one is refused with AWS's code. An allocated address needs none of the zone."""
    account = Account(tmp_path, parse_zones(["a=127.10.0.0/30"]))
    (place,) = subnets(account)
    for name in ("one", "two"):
        account("CreateLoadBalancer", Name=name, Subnets=[place])
    with pytest.raises(AwsError, match=f"Not enough IP space available in {place}") as caught:
        account("CreateLoadBalancer", Name="three", Subnets=[place])
    assert caught.value.code == "InvalidSubnet"
    assert {nodes(account, name)["a"] for name in ("one", "two")} == {"127.10.0.1", "127.10.0.2"}
    mapping = {"SubnetId": place, "AllocationId": account("AllocateAddress")["AllocationId"]}
    account("CreateLoadBalancer", Name="four", Type="network", SubnetMappings=[mapping])


class WatchedPlane(FakePlane):
    """A plane that calls `during` when a change has looked up what it names, and has not changed the registry yet."""

    def __init__(self) -> None:
        super().__init__()
        self.during: Callable[[], None] = lambda: None

    def check(self, wanted: PlaneConfig) -> str | None:
        self.during()
        return super().check(wanted)


@pytest.mark.parametrize("operation", ["DeleteSubnet", "DeleteSecurityGroup", "ReleaseAddress", "DeleteCertificate"])
def test_what_a_call_names_is_not_deleted_meanwhile(tmp_path: Path, operation: str) -> None:
    """A deletion at the same time waits for the call, and finds that what it wants to delete is in use."""
    plane = WatchedPlane()
    account = Account(tmp_path, plane=plane)
    vpc = account("CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    named = {
        "DeleteSubnet": {"SubnetId": account("CreateSubnet", VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]},
        "DeleteSecurityGroup": {
            "GroupId": account("CreateSecurityGroup", GroupName="web", Description="web", VpcId=vpc)["GroupId"]
        },
        "ReleaseAddress": {"AllocationId": account("AllocateAddress")["AllocationId"]},
        "DeleteCertificate": {
            "CertificateArn": account("RequestCertificate", DomainName="shop.example")["CertificateArn"]
        },
    }
    codes: list[str] = []
    deletion = Thread(target=lambda: codes.append(refusal(account, operation, **named[operation])))

    def delete() -> None:
        plane.during = lambda: None
        deletion.start()
        until(lambda: not deletion.is_alive() or is_held(tmp_path / "network.lock"), "it ends or has to wait")

    def meanwhile(call: str, **parameters: Any) -> dict[str, Any]:
        plane.during = delete if call == creation else plane.during
        return account(call, **parameters)

    creation = "CreateListener" if operation == "DeleteCertificate" else "CreateLoadBalancer"
    mapping = {**named["DeleteSubnet"], **named["ReleaseAddress"]}
    made = meanwhile(
        "CreateLoadBalancer",
        Name="edge",
        Type="network",
        SubnetMappings=[mapping],
        SecurityGroups=[*named["DeleteSecurityGroup"].values()],
    )
    group = account("CreateTargetGroup", Name="web", Protocol="TCP", Port=80, VpcId=vpc)["TargetGroups"][0]
    meanwhile(
        "CreateListener",
        LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="TLS",
        Port=8443,
        Certificates=[named["DeleteCertificate"]],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )
    deletion.join(30)
    used = ("DependencyViolation", "InvalidIPAddress.InUse", "ResourceInUseException")
    assert codes in [[code] for code in used]


def refusal(account: Account, operation: str, **parameters: Any) -> str:
    """Return the code with which a call is refused, or nothing if it succeeds."""
    try:
        account(operation, **parameters)
    except AwsError as error:
        return error.code
    return ""
