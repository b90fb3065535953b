"""ECS of a home in a folder, with workers that end each run at once, or let it wait."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.resources import TargetGroupResource, declared_id
from pipeline.base.home import Home
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.store import Worked
from pipeline.stacks.provider import StackContext
from pipeline.stacks.providers.ecs_service import EcsService
from pipeline.stacks.providers.ecs_task_definition import EcsTaskDefinition
from pipeline.stacks.providers.pipeline import Pipeline
from pipeline.store.records import Run, RunState
from pipeline.store.store import Store
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.stack_group import GROUP, make_group

OWNER = "shop"
CONTAINER = {"Name": "app", "Image": "shop:1", "PortMappings": [{"ContainerPort": 8080}]}
PIPELINE = {
    "source": {"repository": "https://forge.localhost/shop.git"},
    "deploy": {"target_group": "web"},
    "balancer": {
        "target_groups": {"web": {"port": 8080}},
        "load_balancers": {"edge": {"listeners": [{"port": 8001, "default_action": {"forward": "web"}}]}},
    },
}
"""The properties of a pipeline of a stack."""
GROUP_ARN = (
    "arn:aws:elasticloadbalancing:eu-west-1:000000000000:targetgroup/"
    f"{GROUP}/{declared_id(OWNER, TargetGroupResource.kind, GROUP)}"
)
SERVICE_TARGET = {"TargetGroupArn": GROUP_ARN, "ContainerName": "app", "ContainerPort": 8080}


class EcsHome:
    """A home with a task definition, and a target group that a listener forwards to. It implements `Workers`.

    `outcomes` are the states in which the next runs end, `succeeded` if there is none. With `is_working` set to False,
    runs wait. `cancelled` and `released` are the calls.
    """

    def __init__(self, context: StackContext) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.home = Home.locate({"PENSTOCK_HOME": str(Path(self._folder.name) / "home")})
        self.context = context
        self.store = Store(self.home.database)
        self.ecs = Ecs(self.home, self)
        self.balancer = Balancer(self.home.balancer, FakePlane())
        make_group(self.balancer, OWNER, 8000)
        self.task = self.define()
        self.outcomes: list[tuple[RunState, str]] = []
        self.is_working = True
        self.cancelled: list[int] = []
        self.released: list[str] = []

    def close(self) -> None:
        """Remove everything. No thread works on a service any more."""
        self.ecs.close()
        self.store.close()
        self._folder.cleanup()

    def define(self, image: str = "shop:1", **more: object) -> str:
        """Make a revision of a task definition, and return its ARN."""
        provider = EcsTaskDefinition(self.ecs, self.context)
        number = len(self.ecs.store.read().task_definitions)
        container = {**CONTAINER, "Image": image, **more}
        properties = {"Family": "web", "ContainerDefinitions": [container]}
        state = provider.create(f"task-{number}", provider.properties.model_validate(properties))
        assert state.physical_id
        return state.physical_id

    def pipeline(self, folder: Path | None = None) -> Pipeline:
        """Return the provider of pipelines, for a template in a folder."""
        return Pipeline(self.ecs, replace(self.context, folder=folder and str(folder)))

    def service(self) -> EcsService:
        """Return the provider of services."""
        return EcsService(self.ecs, self.context)

    def properties(self, **more: object) -> dict[str, object]:
        """Return the properties of a service."""
        return {"TaskDefinition": self.task, "LoadBalancers": [SERVICE_TARGET], **more}

    def runs(self, service: Worked) -> list[Run]:
        """Return the runs of a service, oldest first."""
        return list(reversed(self.store.runs.latest(service.pipeline, limit=100)))

    def wake(self, service: Worked) -> None:
        """End the runs of the queue, if it is working."""
        while self.is_working and (run := self.store.queue.claim(service.pipeline, "queued")):
            state, reason = self.outcomes.pop(0) if self.outcomes else (RunState.SUCCEEDED, "")
            self.store.runs.finish(service.pipeline, run.number, state, reason)

    def cancel(self, service: Worked, run: int) -> None:
        """Cancel a run in execution."""
        self.cancelled.append(run)
        self.store.runs.finish(service.pipeline, run, RunState.CANCELLED, "cancelled")

    def release(self, service: Worked) -> None:
        """Note the call."""
        self.released.append(service.pipeline)
