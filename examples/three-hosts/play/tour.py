"""The tour: what is shown, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pipeline.balancer.planes import open_balancer
from pipeline.testing.load.failed_targets import failed_targets
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from pipeline.testing.machines.site import Site
from play.phase import Phase, phases
from play.shell import CommandFailed, Shell

URL = "http://127.0.0.1:8470"
REPLICAS = 6
# In requests a second. The slow ones take three seconds each.
_SHORT_RATE, _SLOW_RATE = 40.0, 2.0


class Tour:
    """A tour of a pipeline on the machines of a site, under load."""

    def __init__(self, site: Site, shell: Shell) -> None:
        self._site = site
        self._shell = shell
        self._loads: list[Load] = []
        self._log = open_balancer(shell.home / "balancer").access_log()
        self._took: dict[str, float] = {}
        self._there: dict[str, int] = {}

    def play(self) -> list[Phase]:
        """Show everything, and return what became of the requests. Raises `CommandFailed` if a step fails."""
        self._title("What a run would do, and where each replica would run")
        self._shell.run("pipeline plan")
        self._title("The first deployment sends the image to each machine")
        self._shell.run("pipeline run")
        self._shell.run("pipeline node list")
        try:
            with ExitStack() as stack:
                for path, rate in (("/", _SHORT_RATE), ("/slow", _SLOW_RATE)):
                    self._loads.append(stack.enter_context(Load.start(LoadProfile(f"{URL}{path}", rate, posts=0))))
                self._deploy()
                with self._shell.daemon():
                    self._cut_a_cable()
                    self._drain()
                reports = [load.stop() for load in self._loads]
        finally:
            self._title("Everything is removed")
            self._shell.run("pipeline down", last=1)
        return phases(reports, self._took, self._there)

    def _deploy(self) -> None:
        with self._part("a rolling deployment", "Version 2 under load. Only what has changed is sent"):
            self._shell.commit("2")
            self._shell.run("pipeline run")

    def _cut_a_cable(self) -> None:
        server = self._site.servers["app2"]
        with self._part(
            "a cable cut", "The cable of app2 is cut. The other machines get its requests, then its replicas"
        ):
            server.cut_cable()
            self._shell.until(lambda: self._running("app1", "app3") == REPLICAS, "six replicas on app1 and app3")
            self._shell.run("pipeline node list")
        with self._part("the cable mended", "The cable is back. What was left on app2 is drained and removed"):
            server.mend_cable()
            self._shell.until(lambda: self._running(*self._site.servers) == REPLICAS, "six replicas in all")
            self._shell.run("pipeline node list")

    def _drain(self) -> None:
        with self._part("a machine drained", "app3 is emptied, as before its maintenance"):
            self._shell.run("pipeline node drain app3")
            self._shell.run("pipeline node list")
            if self._running("app3"):
                raise CommandFailed("app3 still runs replicas")
            self._shell.run("pipeline node resume app3")

    def _running(self, *names: str) -> int:
        """Return how many containers run on machines. Nothing else runs on them."""
        return sum(len(self._site.servers[name].engine.docker("ps", "--quiet").split()) for name in names)

    @contextmanager
    def _part(self, name: str, title: str) -> Iterator[None]:
        self._title(title)
        for load in self._loads:
            load.mark(name)
        self._log.skip()
        began = time.monotonic()
        yield
        self._took[name] = time.monotonic() - began
        self._there[name] = failed_targets(self._log).count(self._site.servers["app2"].address)

    def _title(self, text: str) -> None:
        print(f"\n== {text}", flush=True)
