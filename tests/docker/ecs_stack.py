"""A stack with an ECS service behind a listener, used through the command line."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.ecs.records import Service
from pipeline.ecs.store import EcsStore
from pipeline.engine.container import Container
from pipeline.engine.hosts import local_engine
from tests.docker.docker_cli import docker
from tests.docker.project import Project
from tests.support.stack_group import GROUP, make_group, remove_group
from tests.support.waiting import COMMAND_TIMEOUT

OWNER = "aws"
TEMPLATE = """\
Parameters:
  Image: {{Type: String}}
  Count: {{Type: Number, Default: 2}}
  Greeting: {{Type: String, Default: hello}}
  Command: {{Type: CommaDelimitedList, Default: 'python3,-u,app.py'}}
Resources:
  Cluster: {{Type: 'AWS::ECS::Cluster'}}
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: web
      NetworkMode: awsvpc
      Cpu: '256'
      Memory: '512'
      ContainerDefinitions:
        - Name: app
          Image: !Ref Image
          PortMappings: [{{ContainerPort: 8080}}]
          Environment: [{{Name: GREETING, Value: !Ref Greeting}}]
          StopTimeout: 5
          Command: !Ref Command
  Service:
    Type: AWS::ECS::Service
    Properties:
      Cluster: !Ref Cluster
      DesiredCount: !Ref Count
      TaskDefinition: !Ref Task
      LaunchType: FARGATE
      LoadBalancers: [{{TargetGroupArn: '{group}', ContainerName: app, ContainerPort: 8080}}]
Outputs:
  Service: {{Value: !GetAtt Service.Name}}
"""


@dataclass
class EcsStack:
    """The stack `shop`, in the home of a project whose own pipeline is not run."""

    project: Project
    template: Path = field(init=False)

    def __post_init__(self) -> None:
        arn = make_group(self.balancer, OWNER, self.project.port)
        self.template = self.project.directory / "stack.yaml"
        self.template.write_text(TEMPLATE.format(group=arn))

    @property
    def balancer(self) -> Balancer:
        """The balancer of the home."""
        return open_balancer(self.project.home.balancer)

    @property
    def services(self) -> tuple[Service, ...]:
        """The services that are kept."""
        return EcsStore(self.project.home.aws).read().services

    @property
    def service(self) -> Service:
        """The only service."""
        (service,) = self.services
        return service

    def build(self, version: str) -> str:
        """Build an image of the sample application, and return its name."""
        name = f"ecs-{self.project.home.id}/shop:{version}"
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

    def arguments(self, verb: str, **parameters: str) -> tuple[str, ...]:
        """Return the arguments of `pipeline` for a command to the stack."""
        given = [part for name, value in parameters.items() for part in ("--parameters", f"{name}={value}")]
        return ("stack", verb, "shop", "--template", str(self.template), *given)

    def containers(self) -> list[Container]:
        """Return the containers of the service, in any state."""
        with local_engine(self.project.home.id) as engine:
            return engine.containers.for_pipeline(self.service.pipeline)

    def targets(self) -> tuple[TargetHealth, ...]:
        """Return the health of the targets in the group."""
        return self.balancer.target_health(OWNER, GROUP)

    def environments(self, name: str) -> set[str]:
        """Return the values of a variable in the containers."""
        text = docker("inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", *self._names())
        pairs = (line.partition("=") for line in text.splitlines())
        return {value for key, _, value in pairs if key == name}

    def _names(self) -> list[str]:
        return [container.name for container in self.containers()]

    def is_settled(self, count: int) -> bool:
        """Return whether exactly so many containers run, and all are healthy targets."""
        containers, targets = self.containers(), self.targets()
        return (
            len(containers) == count
            and {c.state for c in containers} == {"running"}
            and {c.name for c in containers} == {h.target.id for h in targets}
            and {h.state for h in targets} == {TargetState.HEALTHY}
        )

    def remove(self) -> None:
        """Remove the images and the group."""
        remove_group(self.balancer, OWNER)
        for image in docker(
            "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"ecs-{self.project.home.id}/shop"
        ).split():
            docker("image", "rm", "--force", image)
