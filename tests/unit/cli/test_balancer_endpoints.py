"""`pipeline balancer endpoints` and its mistakes, which start no data plane."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from tests.support.command_line import pipeline
from tests.support.endpoints import consumer, provider


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the registry of a home with an endpoint that waits for acceptance."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    file = tmp_path / "balancer" / "registry.json"
    file.parent.mkdir()
    declared = Registry().declare("firewall", provider(required=True)).declare("shop", consumer())
    RegistryFile(file).write(declared)
    return file


def test_the_table(registry: Path) -> None:
    """Has the endpoint's id, its service, its state and why it carries no packets."""
    (endpoint,) = RegistryFile(registry).read().endpoints.values()
    rows = [re.split(r"  +", line) for line in pipeline("balancer", "endpoints").stdout.splitlines()]
    assert rows == [
        ["ENDPOINT", "ID", "SERVICE", "STATE", "NETWORKS", "FLOWS", "BYTES"],
        [
            "office.shop",
            endpoint.endpoint_id,
            "firewall/inspection",
            "pendingAcceptance",
            "clients, apps",
            "-",
            "-",
            "the owner of its service has not accepted it",
        ],
    ]
    (found,) = json.loads(pipeline("balancer", "endpoints", "--json").stdout)
    assert (found["id"], found["state"], found["counts"]) == (endpoint.endpoint_id, "pendingAcceptance", {})


def test_no_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says so."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    assert pipeline("balancer", "endpoints").stdout == "no endpoint is declared\n"
    assert json.loads(pipeline("balancer", "endpoints", "--json").stdout) == []


@pytest.mark.parametrize("action", ["accept", "reject"])
def test_an_unknown_endpoint(action: str, registry: Path) -> None:
    """The message names the declared ones, and nothing changes."""
    before = registry.read_bytes()
    done = pipeline("balancer", "endpoints", action, "offfice")
    error = "error: endpoint offfice is not declared\nhint: did you mean office.shop?; declared: office.shop\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)
    assert registry.read_bytes() == before


def test_an_endpoint_without_a_service(registry: Path) -> None:
    """Nothing can be decided yet."""
    file = RegistryFile(registry)
    file.write(file.read().withdraw("firewall"))
    done = pipeline("balancer", "endpoints", "accept", "office")
    assert (done.returncode, done.stderr) == (
        2,
        "error: endpoint office of shop waits for endpoint service inspection of firewall, which does not exist\n",
    )
