"""Files of a pipeline with several services."""

from __future__ import annotations

from tests.unit.core.world import NAME, World

WEB = "web: {target_group: web, replicas: 2}"
WORKER = "worker: {command: [work], replicas: 3, after: [web]}"
LISTENERS = """\
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


def write(world: World, *services: str, balancer: str = LISTENERS, deploy: str = "") -> None:
    """Write a pipeline.yaml with these services, which are healthy as soon as they run or pass a check."""
    joined = ", ".join(services)
    world.file.write_text(
        f"name: {NAME}\ndeploy: {{health_check: {{uptime: 0s}}, {deploy}services: {{{joined}}}}}\n{balancer}"
    )
