"""Faults at a service under load, one after the other. An event explains each, and none leaves a trace."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.balancer.model import TargetState
from pipeline.base.home import Home
from pipeline.events import Event
from pipeline.testing.load.load import Load
from pipeline.testing.load.report import FailedRequest
from tests.docker.docker_cli import kill_process, process_of
from tests.docker.invariants import (
    assert_deployed_in_order,
    assert_each_has_a_run,
    assert_last_is_deployed,
    assert_no_orphans,
    assert_sound,
    assert_true_states,
    wait_until_idle,
)
from tests.docker.private_engine import PrivateEngine
from tests.docker.project import Project, docker, haproxy_processes, until
from tests.docker.serving import Serving, serving
from tests.docker.writers import line, share
from tests.support.waiting import COMMAND_TIMEOUT

# The prepared application fails its health checks while this file exists.
SICK = "/tmp/sick"  # inside a container
_WELL = ('os.environ.get("HEALTHY") == "false"', f'Path("{SICK}").exists()')
# The longest time between a commit and the fault that meets its run, in seconds.
_MAX_DELAY = 2.5
_SIZE = "128m"
_FULL = ("disk is full", "No space left")

# Requests in flight to a killed HAProxy, or to a target that stops responding, cannot be saved.
LOSING = frozenset({"kill HAProxy's master", "kill HAProxy's worker", "pause a target"})


def cause(failure: FailedRequest) -> str:
    """Return the fault that a request failed by. One that was in flight when HAProxy was killed failed by that."""
    return failure.lost_in if failure.lost_in in LOSING else failure.phase


def prepare(project: Project) -> None:
    """Let the sample application become unhealthy on demand, and let the daemon replace it soon."""
    app = (project.directory / "app.py").read_text()
    assert _WELL[0] in app
    project.write("app.py", app.replace(*_WELL))
    project.configure(
        ("name: shop\n", "name: shop\ntriggers: {poll: 1s}\n"),
        ("replicas: 4\n", "replicas: 4\n  unhealthy_timeout: 2s\n"),
    )
    project.commit("1")


class Chaos:
    """Injects faults at one project of a daemon. `engine` may be stopped, and `repository` may be moved away.

    With `disk`, the project's home is on its own small disk, which may be filled.
    """

    def __init__(
        self,
        served: Serving,
        load: Load,
        seed: int,
        repository: Path,
        *,
        engine: PrivateEngine | None = None,
        disk: bool = False,
    ) -> None:
        self._served = served
        self._project = served.project
        self._load = load
        self._chance = random.Random(seed)
        self._repository = repository
        self._engine = engine
        self._version = 1
        self._seen = 0
        self._victim = ""
        self._faults: dict[str, Callable[[], Collection[str]]] = {
            "kill a target": lambda: self._strike("kill"),
            "remove a target": lambda: self._strike("rm", "-f"),
            "SIGKILL a target's process": self._crash,
            "pause a target": self._pause,
            "make a target unhealthy": self._sicken,
            "kill HAProxy's master": lambda: self._kill_haproxy("master"),
            "kill HAProxy's worker": lambda: self._kill_haproxy("worker"),
            "cut the remote": self._cut_remote,
            "SIGKILL the daemon": self._kill_daemon,
            "kill a target while there is no daemon": self._kill_unseen,
            "roll out a broken version": self._break,
        }
        if engine is not None:
            self._faults["restart dockerd"] = lambda: self._restart(signal.SIGTERM)
            self._faults["SIGKILL dockerd"] = lambda: self._restart(signal.SIGKILL)
        if disk:
            self._faults["fill the disk"] = self._fill

    def sequence(self) -> Iterator[str]:
        """Yield all faults in a random order, then again in another one, without end."""
        while True:
            names = list(self._faults)
            self._chance.shuffle(names)
            yield from names

    @property
    def count(self) -> int:
        """The number of kinds of faults."""
        return len(self._faults)

    def inject(self, fault: str) -> str:
        """Inject a fault, during a run or while idle. Returns once an event explains it and everything is repaired.

        Returns the output of the daemon since the fault.
        """
        self._seen, self._victim, said = self._last(), "", len(self._served.output())
        meets_a_run = fault != "roll out a broken version" and self._chance.random() < 0.5
        self._load.mark(fault)
        if meets_a_run:
            self.commit()
            threading.Event().wait(self._chance.uniform(0, _MAX_DELAY))
        try:
            kinds = self._faults[fault]()
            until(lambda: self._explains(kinds), f"an event that explains: {fault}")
            wait_until_idle(self._project)
        except AssertionError as error:
            raise AssertionError(f"{fault}: {error}\n{self._served.output()[said:]}") from error
        self._load.mark("calm")
        return self._served.output()[said:]

    def commit(self, suffix: str = "") -> str:
        """Push a new version to the branch, and return its commit."""
        self._version += 1
        sha = self._project.commit(f"{self._version}{suffix}")
        self._project.git("push", "--quiet", str(self._repository), "main")
        return sha

    def _events(self) -> list[Event]:
        with self._project.store() as store:
            return [event for _, event in store.events.after(self._project.name, self._seen, 10_000)]

    def _last(self) -> int:
        with self._project.store() as store:
            found = store.events.after(self._project.name, self._seen, 1_000_000)
            return found[-1][0] if found else self._seen

    def _explains(self, kinds: Collection[str]) -> bool:
        # An exit is known before Docker's list shows it. Until then everything seems to be well.
        later = (event for event in self._events() if event.kind != "target.exited")
        return any(
            event.kind in kinds or (self._victim and event.fields.get("target") == self._victim) for event in later
        )

    def _choose(self) -> str:
        """Choose a healthy target while there is another one, and return it."""

        def healthy() -> list[str]:
            found = [h.target.id for h in self._project.targets() if h.state is TargetState.HEALTHY]
            return sorted(found) if len(found) > 1 else []

        self._victim = self._chance.choice(until(healthy, "two healthy targets"))
        return self._victim

    def _strike(self, *words: str) -> Collection[str]:
        docker(*words, self._choose())
        return {"reconcile.drift"}

    def _crash(self) -> Collection[str]:
        name = self._choose()
        if self._engine is not None:
            self._engine.kill(process_of(name))
        else:
            kill_process(name)
        return {"reconcile.drift"}

    def _pause(self) -> Collection[str]:
        """Pause a container. Sometimes it is unpaused again; otherwise it is replaced."""
        name, returns = self._choose(), self._chance.random() < 0.5
        docker("pause", name)
        if returns:
            until(lambda: self._explains(()), "an event of the paused target")
            with suppress(Exception):
                docker("unpause", name)
        return {"target.unhealthy"}

    def _sicken(self) -> Collection[str]:
        docker("exec", self._choose(), "touch", SICK)
        return {"target.unhealthy", "reconcile.drift"}

    def _kill_haproxy(self, role: str) -> Collection[str]:
        os.kill(haproxy_processes(self._project.home)[role], signal.SIGKILL)
        return {"balancer.restarted"}

    def _cut_remote(self) -> Collection[str]:
        away = self._repository.with_suffix(".away")
        self._repository.rename(away)
        try:
            until(lambda: self._explains({"trigger.failed", "serve.failed"}), "an event of the missing remote")
        finally:
            away.rename(self._repository)
        self.commit()
        return {"trigger.failed", "serve.failed"}

    def _kill_daemon(self) -> Collection[str]:
        self._served.kill()
        self._served.start()
        return {"serve.started"}

    def _kill_unseen(self) -> Collection[str]:
        self._served.kill()
        docker("kill", self._choose())
        self._served.start()
        return {"reconcile.drift"}

    def _break(self) -> Collection[str]:
        """Deploy a release that never becomes healthy, then one that does."""
        self.commit("-broken")
        until(lambda: self._explains({"deployment.failed"}), "the end of a broken release")
        self.commit()
        return {"deployment.failed"}

    def _restart(self, number: signal.Signals) -> Collection[str]:
        assert self._engine is not None
        self._engine.end(number)
        try:
            until(lambda: self._explains({"reconcile.failed", "deployment.failed"}), "an event of the missing engine")
        finally:
            self._engine.start()
            self._engine.await_answer()
        return {"reconcile.failed", "deployment.failed"}

    def _fill(self) -> Collection[str]:
        """Fill the disk, kill a target and push a commit."""
        # A run that ends frees the space of its build context.
        until(lambda: all(run.state.over for run in self._served.runs()), "the end of all runs")
        said, victim = len(self._served.output()), self._choose()
        with full(self._project.home.root):
            docker("kill", victim)
            self.commit()
            until(lambda: any(word in self._served.output()[said:] for word in _FULL), "a report of the full disk")
        until(
            lambda: any(word in f"{e.message} {e.fields}" for e in self._events() for word in _FULL),
            "an event of the full disk",
        )
        return {"reconcile.drift"}


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill the disk of a folder until the block ends. Use a small disk."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            for size in (2**20, 2**12, 1):
                with suppress(OSError):
                    while file.write(b"x" * size):
                        pass
        yield
    finally:
        ballast.unlink(missing_ok=True)


@contextmanager
def chaotic_service(
    base_image: str, folder: Path, seed: int, rate: float, engine: PrivateEngine | None = None
) -> Iterator[tuple[Chaos, Load]]:
    """Yield a service under load with a `Chaos`. `engine` may be stopped.

    At the end the last commit is deployed completely, and nothing is left over.
    """
    home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
    with small_disk(home.root) as disk:
        # With three, the next fault could come while two are healthy, and requests to the one that dies would be lost.
        project = Project(folder / "shop", base_image, Home.locate({"PENSTOCK_HOME": str(home.root)}), replicas=4)
        try:
            prepare(project.create())
            repository, file = share(project)
            with serving(project, str(file)) as served:
                served.await_run(1)
                with project.load(rate=rate, idempotent=True) as load:
                    chaos = Chaos(served, load, seed, repository, engine=engine, disk=disk)
                    yield chaos, load
                    last = chaos.commit()
                    wait_until_idle(project, last)
                    load.stop()
                commits = line(repository)
                assert commits[-1] == last
                assert_each_has_a_run(project, commits[1:])
                assert_deployed_in_order(project, commits)
                assert_last_is_deployed(project, repository, last)
                assert_true_states(project)
                assert_no_orphans(project)
                assert_sound(home)
        finally:
            project.remove()


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk at a folder, and yield whether this process may. With `Project.keep` it stays mounted."""
    if os.geteuid() != 0:
        yield False
        return
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=700", "penstock", str(folder)],
        check=True,
        timeout=COMMAND_TIMEOUT,
    )
    try:
        yield True
    finally:
        if not Project.keep:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=COMMAND_TIMEOUT)
