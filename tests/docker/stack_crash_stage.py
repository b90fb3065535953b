"""A stack of real resources whose commands are killed at a side effect, and what must hold afterwards."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.certificates.store import CertificateStore
from pipeline.ecs.store import EcsStore
from pipeline.engine.labels import LABEL_HOME
from pipeline.network.defaults import default_resources
from pipeline.network.kinds import Kind
from pipeline.network.state import Resource
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.stacks.offered import open_stacks
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.stacks.records import Stack, StackEvent, StackResource
from tests.docker.crash_stage import DRIVER, Point
from tests.docker.docker_cli import docker
from tests.docker.project import Project, Result
from tests.support.waiting import COMMAND_TIMEOUT

OWNER, NAME, COUNT = "aws", "shop", 2
# Files that exist only during a change.
_TEMPORARY = re.compile(r"draft\.|\..+\.\d+$|unfinished$")
_KEPT = ("AWS::Logs::LogGroup", "AWS::IAM::Role")
TEMPLATE = """\
Parameters:
  Image: {Type: String}
  Domain: {Type: String, Default: one.localhost}
  ExtraPort: {Type: Number, Default: 8081}
  LastPriority: {Type: Number, Default: 3}
Resources:
  Network: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: 10.0.0.0/16}}
  First:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Network, CidrBlock: 10.0.0.0/24, AvailabilityZone: !Select [0, !GetAZs '']}
  Second:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Network, CidrBlock: 10.0.1.0/24, AvailabilityZone: !Select [1, !GetAZs '']}
  Guard:
    Type: AWS::EC2::SecurityGroup
    Properties: {VpcId: !Ref Network, GroupDescription: !Sub 'for ${Domain}'}
  Address: {Type: 'AWS::EC2::EIP', Properties: {Domain: vpc}}
  Role: {Type: 'AWS::IAM::Role', Properties: {AssumeRolePolicyDocument: {}}}
  Logs: {Type: 'AWS::Logs::LogGroup'}
  Certificate: {Type: 'AWS::CertificateManager::Certificate', Properties: {DomainName: !Ref Domain}}
  Edge:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties: {Subnets: [!Ref First, !Ref Second], SecurityGroups: [!Ref Guard]}
  Web:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      VpcId: !Ref Network
      Protocol: HTTP
      Port: 80
      TargetType: ip
      HealthCheckPath: /healthz
      HealthCheckIntervalSeconds: 5
      HealthyThresholdCount: 2
      TargetGroupAttributes: [{Key: deregistration_delay.timeout_seconds, Value: '5'}]
  Extra:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: {VpcId: !Ref Network, Protocol: HTTP, Port: !Ref ExtraPort, TargetType: ip}
  Plain:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Edge
      Port: PLAIN_PORT
      Protocol: HTTP
      DefaultActions: [{Type: forward, TargetGroupArn: !Ref Web}]
  Secure:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Edge
      Port: SECURE_PORT
      Protocol: HTTPS
      Certificates: [{CertificateArn: !Ref Certificate}]
      DefaultActions: [{Type: forward, TargetGroupArn: !Ref Web}]
  Rule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Plain
      Priority: 1
      Conditions: [{Field: path-pattern, Values: [/extra/*]}]
      Actions: [{Type: forward, TargetGroupArn: !Ref Extra}]
  Cluster: {Type: 'AWS::ECS::Cluster'}
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: web
      ContainerDefinitions: [{Name: app, Image: !Ref Image, PortMappings: [{ContainerPort: 8080}], StopTimeout: 5}]
  Service:
    Type: AWS::ECS::Service
    DependsOn: [Plain, Secure]
    Properties:
      Cluster: !Ref Cluster
      DesiredCount: 2
      TaskDefinition: !Ref Task
      LoadBalancers: [{TargetGroupArn: !Ref Web, ContainerName: app, ContainerPort: 8080}]
  Last:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    DependsOn: [Service, Rule]
    Properties:
      ListenerArn: !Ref Plain
      Priority: !Ref LastPriority
      Conditions: [{Field: path-pattern, Values: [/last/*]}]
      Actions: [{Type: fixed-response, FixedResponseConfig: {StatusCode: '204'}}]
"""


class StackStage:
    """The home of the stack, which is used through the command line."""

    def __init__(self, folder: Path, base_image: str) -> None:
        self.project = Project(folder / NAME, base_image, Home.locate({"PENSTOCK_HOME": str(folder / "home")}))
        self._record = folder / "record"
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._template = folder / "stack.yaml"
        self.project.create()
        secure = self.project.port
        self.project.take_port()
        text = TEMPLATE.replace("PLAIN_PORT", str(self.project.port)).replace("SECURE_PORT", str(secure))
        self._template.write_text(text)
        self._repository = f"stack-{self.project.home.id}/shop"
        self._images = [self._build(version) for version in ("1", "2")]
        self.version = 0

    def _build(self, version: str) -> str:
        name = f"{self._repository}:{version}"
        self.project.commit(version)
        arguments = ("build", "--quiet", "--build-arg", f"BASE_IMAGE={self.project.base_image}", "--tag", name, "-")
        subprocess.run(
            ["docker", *arguments],
            input=self.project.archive(),
            check=True,
            capture_output=True,
            timeout=COMMAND_TIMEOUT,
        )
        return name

    def arguments(self, verb: str, **parameters: object) -> tuple[str, ...]:
        """Return the arguments of `pipeline` for a command to the stack, with values of `version`."""
        if verb == "delete":
            return ("stack", "delete", NAME)
        values = {
            "Image": self._images[self.version % 2],
            "Domain": f"v{self.version}.localhost",
            "ExtraPort": 8081 + self.version,
            **parameters,
        }
        given = [part for name, value in values.items() for part in ("--parameters", f"{name}={value}")]
        return ("stack", verb, NAME, "--template", str(self._template), *given)

    def run(self, *arguments: str, point: Point | None = None) -> Result:
        """Run a command, and kill it at a point."""
        self._record.unlink(missing_ok=True)
        driver = [str(DRIVER), str(self._record), str(point or "none")]
        started = self.project.start(*arguments, driver=driver, TMPDIR=str(self._temporary))
        return self.project.finish(started, code=None)

    def side_effects(self) -> list[str]:
        """Return the names of the side effects of the last command."""
        return self._record.read_text().splitlines()

    def stack(self) -> Stack | None:
        """Return the stack, unless it does not exist or was deleted."""
        return self._look()[0]

    def _look(self) -> tuple[Stack | None, list[StackResource], list[StackEvent]]:
        stacks = open_stacks(self.project.home)
        try:
            stack = stacks.store.find(OWNER, NAME)
            latest = stack or next(iter(stacks.store.all(OWNER)), None)
            resources = stacks.store.resources(stack.id) if stack else []
            events = [event for _, event in stacks.store.events(latest.id)] if latest else []
            return stack, resources, events
        finally:
            stacks.close()

    def assert_whole(self) -> None:
        """Assert that exactly the resources of the stack exist, that they serve, and that events tell how it came."""
        stack, resources, events = self._look()
        assert stack is None or not stack.status.in_progress
        assert sorted(self._existing()) == sorted(_id(resource) for resource in resources)
        assert_told(events, resources, stack)
        count = COUNT if stack else 0
        label = f"label={LABEL_HOME}={self.project.home.id}"
        assert len(docker("ps", "--all", "--quiet", "--filter", label).split()) == count
        assert len(docker("network", "ls", "--quiet", "--filter", label).split()) == bool(stack)
        home = self.project.home
        assert [file.name for file in home.balancer.glob("*") if _TEMPORARY.match(file.name)] == []
        assert [file.name for file in home.root.rglob(".*")] == []
        assert sorted(self._temporary.iterdir()) == []

    def _existing(self) -> Iterator[str]:
        """Yield the ids of what exists beside the default network."""
        home, defaults = self.project.home, default_resources(OWNER, DEFAULT_ZONES)
        registry = open_balancer(home.balancer).registry()
        for field, made in registry.by_field().items():
            # A listener's certificate belongs to the listener.
            yield from () if field == "certificates" else made
        networks = NetworkStore(home.aws, DEFAULT_ZONES).read(OWNER).resources.values()
        made = [each for each in networks if each not in defaults]
        vpcs = {each.id for each in made if each.kind is Kind.VPC}
        yield from (each.id for each in made if not (_is_default(each) and each.data["VpcId"] in vpcs))
        certificates = CertificateStore(home.aws).all(OWNER)
        yield from (each.id for each in certificates)
        files = sorted(file.stem for file in (home.aws / "certificates").glob("*"))
        assert files == sorted(each.id for each in certificates)
        kept = KeptStore(home.aws)
        yield from (each.id for name in _KEPT for each in kept.all(OWNER, name))
        ecs = EcsStore(home.aws).read()
        yield from (each.name for each in ecs.clusters)
        yield from (each.arn for each in ecs.services)
        yield from (each.arn for each in ecs.task_definitions if each.active)

    def remove(self) -> None:
        """Remove everything."""
        self.project.remove()
        for image in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", self._repository).split():
            docker("image", "rm", "--force", image)


def _id(resource: StackResource) -> str:
    """Return the id under which a resource is stored."""
    found = resource.physical_id or ""
    if resource.known.type.startswith("AWS::ElasticLoadBalancingV2::") or "::Certificate" in resource.known.type:
        return found.rpartition("/")[2]
    return str(resource.attributes.get("AllocationId", found))


def _is_default(resource: Resource) -> bool:
    """Return whether EC2 makes a resource together with its VPC."""
    return resource.kind is Kind.ROUTE_TABLE or resource.data.get("GroupName") == "default"


def assert_told(events: list[StackEvent], resources: list[StackResource], stack: Stack | None) -> None:
    """Assert that the events have an end for everything that began, and tell what exists."""
    last = {event.logical_id: event.status for event in events}
    assert {name: status for name, status in last.items() if status.endswith("_IN_PROGRESS")} == {}
    assert stack is None or last[NAME] == stack.status
    of_resources = [event for event in events if event.logical_id != NAME]
    made = {e.physical_id for e in of_resources if e.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")}
    gone = {e.physical_id for e in of_resources if e.status == "DELETE_COMPLETE"}
    assert made - gone == {resource.physical_id for resource in resources}
