"""Two pipelines in the middle of their deployments, for pictures.

The second release of `shop` has a fifth of the requests, and the third waits for approval. `blog` replaces its
containers. Two of the old ones are gone, and the third drains, because its requests take long.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.balancer.planes import open_balancer
from tests.browser.world import World
from tests.support.ports import free_port
from tests.support.waiting import until

BLOG = "blog"
REPLICAS, HELD = 3, 9
"""The containers of the blog, and the requests that are held open for each drain."""
SEEN = 3.0
"""The least seconds of a drain, so that it is wide enough in the picture of its run."""
_SHOP = """\
name: shop
source: {{branch: main}}
execution_mode: parallel
build: {{test: {{command: [check]}}}}
deploy:
  {approval}
  services:
    web:
      target_group: web
      replicas: 3
      memory: {memory}
      environment: {{TARGET_PORT: "{web}", CHECKOUT: "{checkout}"}}
      strategy: {{type: canary, percent: 20, bake_time: 1h}}
      rollback_on: {{conditions: [{{metric: http_5xx_ratio, worse_than_previous: true}}]}}
balancer:
  target_groups:
    web: {{port: {web}, health_check: {{path: /healthz, interval: 200ms}}, deregistration_delay: 2m}}
  load_balancers:
    edge:
      scheme: internal
      listeners:
        - port: {port}
          rules:
            - priority: 20
              conditions: [{{host_header: [old.example.com]}}]
              action: {{fixed_response: {{status_code: 410}}}}
          default_action: {{forward: web}}
"""
_BLOG = """\
name: blog
source: {{branch: main}}
deploy:
  deploy_timeout: 5m
  services:
    web: {{target_group: web, replicas: {replicas}, environment: {{TARGET_PORT: "{target}", DRINK: {drink}}}}}
balancer:
  target_groups:
    web:
      port: {target}
      health_check: {{path: /healthz, interval: 1s}}
      deregistration_delay: 2m
  load_balancers:
    edge:
      listeners:
        - port: {port}
          rules: [{{priority: 10, conditions: [{{path_pattern: [/blog/*]}}], action: {{forward: web}}}}]
"""


class Gallery(World):
    """A home with both pipelines."""

    def __init__(self, folder: Path) -> None:
        self._blog = folder / BLOG
        super().__init__(folder, template=_SHOP, others=(self._blog / "pipeline.yaml",))

    def __post_init__(self) -> None:
        self.settings |= {"memory": "256MiB", "checkout": "classic", "approval": ""}
        super().__post_init__()
        self._blog.mkdir()
        (self._blog / "Dockerfile").write_text("FROM scratch\n")
        self._blog_settings = {"port": self.port, "target": free_port(), "replicas": REPLICAS}
        self._commit_to_blog("tea")

    def _commit_to_blog(self, drink: str) -> None:
        self.others[0].write_text(_BLOG.format(drink=drink, **self._blog_settings))
        here = ["git", "-C", str(self._blog), "-c", "user.name=Grace", "-c", "user.email=grace@example.com"]
        if not (self._blog / ".git").exists():
            subprocess.run([*here, "init", "--quiet", "--initial-branch=main"], check=True)
        subprocess.run([*here, "add", "--all"], check=True)
        subprocess.run([*here, "commit", "--quiet", "--allow-empty", "-m", f"Write about {drink}"], check=True)

    @contextmanager
    def in_progress(self) -> Iterator[None]:
        """Begin the deployments, and send requests until the block ends."""
        self.start()
        self.await_run(1)
        until(lambda: len(self._blog_targets(TargetState.HEALTHY)) == REPLICAS, "the blog")
        with self.load(40, posts=0), self.load(12, "/blog/tea", posts=0):
            self.commit("Sell tea by the cup", checkout="one page", memory="384MiB")
            self.await_event("shift.step")
            self.commit("Take gift cards", approval="approval: {timeout: 1h}")
            self.await_event("run.waiting")
            with self._drains():
                yield

    @contextmanager
    def _drains(self) -> Iterator[None]:
        """Replace the containers of the blog. The last old one drains until the block ends."""
        clients = [self._hold(0)]
        self._commit_to_blog("coffee")
        for drain in range(REPLICAS - 1):
            self._await_drain(drain)
            clients.append(self._hold(drain + 1))
            self._release(drain)
        self._await_drain(REPLICAS - 1)
        try:
            yield
        finally:
            self._release(REPLICAS - 1)
            for client in itertools.chain(*clients):
                client.join()

    def _await_drain(self, drain: int) -> None:
        """Wait until the old containers before this one are gone, and this one drains."""

        def drains() -> bool:
            old = [each.state for each in self._blog_targets() if ".r1." in each.target.id]
            return len(old) == REPLICAS - drain and TargetState.DRAINING in old

        until(drains, f"drain {drain}")
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun >= SEEN, "a drain that can be seen")

    def _hold(self, key: int) -> list[threading.Thread]:
        """Send requests that are open until the release of `key`."""
        clients = [threading.Thread(target=self.get, args=(f"/blog/hold?key={key}",)) for _ in range(HELD)]
        for client in clients:
            client.start()
        until(lambda: sum(health.in_flight for health in self._blog_targets()) >= HELD, "open requests")
        return clients

    def _release(self, key: int) -> None:
        self.get(f"/blog/release?key={key}")

    def _blog_targets(self, state: TargetState | None = None) -> list[TargetHealth]:
        try:
            targets = open_balancer(self.home.balancer).target_health(BLOG, "web")
        except KeyError:
            return []
        return [health for health in targets if state in (None, health.state)]
