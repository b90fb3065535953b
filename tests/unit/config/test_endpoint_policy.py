"""Which networks endpoints of a commit may attach."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.models import Pipeline
from pipeline.config.policy import Policy
from pipeline.config.policy_file import read_policy

OFFICE: dict[str, object] = {"namespace": "office", "addresses": ["198.18.0.0/24"]}
APPS: dict[str, object] = {"docker_network": "inspected"}
HOST: dict[str, object] = {"host": True, "addresses": ["198.18.9.0/24"]}
UNNAMED = "which is neither in the served file nor in endpoint_networks of a policy"


def pipeline(**networks: dict[str, object]) -> Pipeline:
    endpoints = {"office": {"service": "other/inspection", "networks": networks}} if networks else {}
    return Pipeline.model_validate(
        {
            "name": "shop",
            "deploy": {"target_group": "web"},
            "balancer": {
                "target_groups": {"web": {"port": 80}},
                "load_balancers": {"edge": {"listeners": [{"port": 80, "default_action": {"forward": "web"}}]}},
                "endpoints": endpoints,
            },
        }
    )


def objections(asked: Pipeline, served: Pipeline | None = None, allowed: list[str] | None = None) -> list[str]:
    policy = Policy.model_validate({} if allowed is None else {"endpoint_networks": allowed})
    return list(policy.objections(asked, frozenset(), "main", "watch", served))


@pytest.mark.parametrize("served", [None, pipeline()])
def test_a_network_needs_the_served_file_or_a_policy(served: Pipeline | None) -> None:
    """A commit cannot attach a namespace, a network of Docker or this machine by itself."""
    assert objections(pipeline(a=OFFICE, b=APPS, c=HOST), served) == [
        f"its endpoint office attaches namespace/office, {UNNAMED}",
        f"its endpoint office attaches docker_network/inspected, {UNNAMED}",
        f"its endpoint office attaches host, {UNNAMED}",
    ]


def test_networks_of_the_served_file_are_allowed() -> None:
    """The served file's own networks, also after another name or in another order."""
    served = pipeline(a=OFFICE, b=APPS, c=HOST)
    assert objections(served, served) == []
    assert objections(pipeline(x=HOST, y=APPS, z=OFFICE), served) == []


@pytest.mark.parametrize(
    ("networks", "place"),
    [
        ({"a": {**OFFICE, "addresses": ["0.0.0.0/0"]}}, "namespace/office"),
        ({"a": {**OFFICE, "routes": ["10.0.0.0/8"]}}, "namespace/office"),
        ({"b": {**APPS, "addresses": ["10.0.0.0/8"]}}, "docker_network/inspected"),
        ({"c": {**HOST, "routes": ["0.0.0.0/0"]}, "a": OFFICE}, "host"),
        ({"c": HOST, "a": OFFICE}, "host"),
    ],
)
def test_addresses_and_routes_are_those_of_the_served_file(networks: dict[str, dict[str, object]], place: str) -> None:
    """They choose the packets. From this machine, routes lead to what the other networks have."""
    served = pipeline(a=OFFICE, b=APPS, c=HOST)
    expected = f"its endpoint office attaches {place} with other addresses or routes than the served file"
    assert objections(pipeline(**networks), served) == [expected]


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (["namespace/office", "docker_network/inspected", "host"], []),
        (["namespace/office"], ["docker_network/inspected", "host"]),
        (["namespace/inspected", "docker_network/office"], ["namespace/office", "docker_network/inspected", "host"]),
        ([], ["namespace/office", "docker_network/inspected", "host"]),
    ],
)
def test_a_list_of_the_policy_replaces_the_served_file(allowed: list[str], refused: list[str]) -> None:
    """Addresses and routes are then the commit's choice."""
    served, asked = pipeline(a=OFFICE, b=APPS, c=HOST), pipeline(a=OFFICE, b=APPS, c={**HOST, "routes": ["0.0.0.0/0"]})
    expected = [f"its endpoint office attaches {place}, which is not in endpoint_networks" for place in refused]
    assert objections(asked, served, allowed) == expected


@pytest.mark.parametrize(
    "entry", ["office", "namespace", "namespace/", "host/x", "network/office", "docker_network/a b"]
)
def test_an_entry_of_another_form_is_refused(tmp_path: Path, entry: str) -> None:
    """The place and what to write instead."""
    path = tmp_path / "shop.yaml"
    path.write_text(f"endpoint_networks:\n  - {entry}\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        read_policy(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 5)
    assert problem.reason == f"must be docker_network/NAME, namespace/NAME or host, got {entry!r}"
