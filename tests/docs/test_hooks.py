"""What docs/strategies.md says of hooks and of the circuit breaker."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.balancer.model import alternate_group
from pipeline.config.hooks import LifecycleEvent
from pipeline.config.load import load
from pipeline.config.models import Pipeline
from stages.deploy.hooks import HookVariables
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/strategies.md").read_text().partition("\n## Hooks\n")[2]
REST = """\
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


def example(folder: Path, key: str) -> Pipeline:
    """Load the example of the page that has a key of `deploy`."""
    found = re.findall(r"```yaml\n(deploy:\n.*?)```", PAGE, re.DOTALL)
    (text,) = [text for text in found if f"\n  {key}:" in text]
    text = text.replace("deploy:\n", "deploy:\n  target_group: web\n", 1)
    (folder / "pipeline.yaml").write_text(f"name: shop\n{text}{REST}")
    return load(folder / "pipeline.yaml", environ={"CHAT_TOKEN": "x"}).pipeline


def test_the_example_has_a_hook_for_each_event(tmp_path: Path) -> None:
    """In their order, and each of the four ways once or more."""
    hooks = list(example(tmp_path, "hooks").deploy.hooks.all())
    assert [event for event, _ in hooks] == list(LifecycleEvent)
    ways = [way for _, hook in hooks for way in ("command", "host_command", "http", "pause") if getattr(hook, way)]
    assert set(ways) == {"command", "host_command", "http", "pause"}


def test_the_example_of_the_circuit_breaker(tmp_path: Path) -> None:
    """Half of ten replicas is five failures."""
    deploy = example(tmp_path, "circuit_breaker").deploy
    assert deploy.circuit_breaker is not None
    assert deploy.circuit_breaker.limit(deploy.replicas) == 5


def test_every_variable_is_listed() -> None:
    """The page names each variable of a command, and no other."""
    traffic = alternate_group.TestTraffic(port=8081)
    variables = HookVariables("shop", "web", 2, 1, "c" * 40, 7, traffic)
    documented = re.findall(r"`(PENSTOCK_[A-Z_]+)`", PAGE)
    assert sorted(documented) == sorted(variables.environment(LifecycleEvent.BEFORE_INSTALL))
    body = variables.data(LifecycleEvent.BEFORE_INSTALL)
    assert {f"PENSTOCK_{key.upper()}" for key in body.keys() - {"test_traffic"}} < set(documented)


def test_every_event_is_listed() -> None:
    """The table of the page has the events in their order."""
    assert re.findall(r"^\| `(\w+)` \| ", PAGE[PAGE.index("| event | when |") :], re.MULTILINE)[:5] == list(
        LifecycleEvent
    )
