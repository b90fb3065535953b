"""`pipeline balancer explain --endpoint` as a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from tests.support.command_line import pipeline
from tests.support.inspected_networks import declaration

_PACKET = ("balancer", "explain", "--endpoint", "office", "--source", "198.18.0.5:40000", "tcp://198.18.1.10:443")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    (tmp_path / "balancer").mkdir()
    RegistryFile(tmp_path / "balancer" / "registry.json").write(Registry().declare("shop", declaration()))


def test_the_command() -> None:
    """Without appliances, it says that packets are dropped. JSON has the same reason."""
    reason = "the endpoint has no appliance that was ever healthy, so its packets are dropped"
    shown = pipeline(*_PACKET)
    first, second, *_, last = shown.stdout.splitlines()
    assert first == "TCP 198.18.0.5:40000 → 198.18.1.10:443, a flow of 5 fields"
    assert second.startswith("endpoint office of shop, vpce-")
    assert last == reason
    data = json.loads(pipeline(*_PACKET, "--json").stdout)
    assert (data["reason"], data["targets"], data["endpoint"]["name"]) == (reason, [], "office")


def test_mistakes() -> None:
    """The exit code is that of a mistake, and the hint says what to write."""
    found = pipeline("balancer", "explain", "--endpoint", "office", "tcp://198.18.1.10:443")
    assert found.returncode == 2
    assert "source 127.0.0.1 has no port, and a flow has five fields" in found.stderr
    found = pipeline("balancer", "explain", "--endpoint", "ofice", "icmp://198.18.1.10")
    assert (found.returncode, "did you mean office.shop?" in found.stderr) == (2, True)
