"""The AWS APIs of a home: botocore's clients make a load balancer that serves HTTPS, and delete it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.ecs.ecs import Ecs
from pipeline.http.aws import aws_services
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.stacks.offered import open_stacks
from tests.support.aws import AwsServer, aws_server, refusal
from tests.support.backend import Backend
from tests.support.ports import free_port
from tests.support.waiting import until


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    """The APIs of a new home, whose HAProxy ends with the test."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    home = Home.locate()
    try:
        with aws_server(
            home.aws, aws_services(home, DEFAULT_ZONES, lambda: open_stacks(home), lambda: Ecs(home))
        ) as running:
            yield running
    finally:
        balancer = open_balancer(home.balancer)
        balancer.change("aws", lambda registry: registry.drop(*(each.id for each in registry.all())))


@pytest.fixture
def target() -> Iterator[Backend]:
    """A target."""
    backend = Backend("web")
    yield backend
    backend.end()


def status(address: str, port: int, authority: str) -> bytes:
    """Return the status line of a response over TLS, for a client that trusts only this authority."""
    context = ssl.create_default_context(cadata=authority)
    with (
        socket.create_connection((address, port), 10) as plain,
        context.wrap_socket(plain, server_hostname="shop.example") as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
        return client.recv(99).split(b"\r\n")[0]


def test_https(server: AwsServer, target: Backend) -> None:
    """A listener with a requested certificate serves at the address of each zone. Networks and certificate know it."""
    elbv2, ec2, acm = (server.client(name) for name in ("elbv2", "ec2", "acm"))
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    port = free_port()
    arns = make(elbv2, acm, subnets, target, port)
    until(lambda: health(elbv2, arns["group"]) == "healthy", "the target in service")
    authority = acm.get_certificate(CertificateArn=arns["certificate"])["CertificateChain"]
    for address in ("127.0.0.1", "127.0.0.2"):
        assert status(address, port, authority) == b"HTTP/1.1 200 OK"
    path = arns["balancer"].partition("loadbalancer/")[2]
    nodes = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert [(node["SubnetId"], node["PrivateIpAddress"], node["Description"]) for node in nodes] == [
        (subnets[0], "127.0.0.1", f"ELB {path}"),
        (subnets[1], "127.0.0.2", f"ELB {path}"),
    ]
    used = {"CertificateArn": arns["certificate"]}
    assert acm.describe_certificate(**used)["Certificate"]["InUseBy"] == [arns["balancer"]]
    assert refusal(acm.delete_certificate, **used)[0] == "ResourceInUseException"
    elbv2.delete_load_balancer(LoadBalancerArn=arns["balancer"])
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    acm.delete_certificate(**used)


def make(elbv2: Any, acm: Any, subnets: list[str], target: Backend, port: int) -> dict[str, str]:
    """Make a load balancer with an HTTPS listener and a target. Return the ARNs."""
    certificate = acm.request_certificate(DomainName="shop.example")["CertificateArn"]
    (balancer,) = elbv2.create_load_balancer(Name="edge", Subnets=subnets)["LoadBalancers"]
    (group,) = elbv2.create_target_group(
        Name="web", Protocol="HTTP", Port=80, VpcId=balancer["VpcId"], TargetType="ip", HealthCheckIntervalSeconds=5
    )["TargetGroups"]
    elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=port,
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )
    address, number = target.server_address[:2]
    elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": str(address), "Port": int(number)}])
    return {
        "balancer": balancer["LoadBalancerArn"],
        "group": group["TargetGroupArn"],
        "certificate": certificate,
    }


def health(elbv2: Any, group: str) -> str:
    """Return the state of the only target of a group."""
    (found,) = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return str(found["TargetHealth"]["State"])
