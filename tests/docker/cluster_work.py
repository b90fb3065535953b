"""What is done with a project on three machines: deployments, rollbacks, a failing release, a canary, and kills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from pipeline.balancer.model import TargetState
from tests.docker.project import until
from tests.docker.shifting_project import with_strategy
from tests.docker.site_project import SiteProject

# Points at which a deployment is killed. The first ones are tried if there are fewer.
KILL_POINTS = (
    "target.draining",
    "container.started*2",
    "deployment.started",
    "target.healthy",
    "container.stopping",
    "target.registered*4",
    "container.started",
    "container.stopped*3",
    "target.healthy*5",
    "stage.finished deploy",
)

Step = tuple[str, Callable[[], None]]


@dataclass
class PenstockWork:
    """The work on one project, whose release 1 is active. Each step ends when all replicas are healthy and alone."""

    project: SiteProject
    version: int = 1

    def steps(self, deployments: int, rollbacks: int, kills: int) -> Iterator[Step]:
        """Yield each step with its name."""
        yield f"{deployments} rolling deployments", partial(self._deploy, deployments)
        yield f"{rollbacks} rollbacks", partial(self._roll_back, rollbacks)
        yield "a failing release", self._fail
        yield "a canary", self._canary
        for point in KILL_POINTS[:kills]:
            yield f"SIGKILL at {point}", partial(self._kill, point)

    def _deploy(self, times: int) -> None:
        for _ in range(times):
            self._commit()
            self.project.pipeline("run")
            self._assert_whole()

    def _roll_back(self, times: int) -> None:
        for _ in range(times):
            self.project.pipeline("rollback")
            self._assert_whole()

    def _fail(self) -> None:
        self.project.commit("broken")
        self.project.pipeline("run", code=4)
        self._assert_whole()

    def _canary(self) -> None:
        with_strategy(self.project, "{type: canary, percent: 20, bake_time: 5s}")
        self._commit()
        self.project.pipeline("run")
        self._assert_whole()
        self.project.configure()

    def _kill(self, point: str) -> None:
        self._commit()
        self.project.crash(point, "run")
        self.project.pipeline("recover")
        self._assert_whole()

    def _commit(self) -> None:
        self.version += 1
        self.project.commit(str(self.version))

    def _assert_whole(self) -> None:
        """Assert that each replica runs once, is healthy and of the same release. Some may be about to end."""
        assert_whole(self.project)


def assert_whole(project: SiteProject) -> None:
    """Wait until exactly the wanted replicas run on the machines, all of one image, each a healthy target."""
    try:
        until(lambda: is_whole(project), f"{project.replicas} replicas of one release, each once")
    except AssertionError as error:
        raise AssertionError(f"{error}{described(project)}") from error


def is_whole(project: SiteProject) -> bool:
    """Return whether exactly the wanted replicas run, all of one image, each a healthy target."""
    running, targets = project.running(), project.targets()
    images = {line.split()[1] for line in running}
    healthy = [health for health in targets if health.state is TargetState.HEALTHY]
    return len(running) == len(healthy) == len(targets) == project.replicas and len(images) == 1


def described(project: SiteProject) -> str:
    """Return what runs and which targets there are, as text."""
    targets = [f"{h.target.id} {h.target.address}:{h.target.port} {h.state.value}" for h in project.targets()]
    return "\n".join(["", *project.running(), *targets])
