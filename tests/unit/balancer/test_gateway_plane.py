"""The data plane of gateway load balancers where there is none, and what it needs from a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.balancer.data_plane import PacketEnds
from pipeline.balancer.gateway.config_gateway import wanted_gateway
from pipeline.balancer.gateway.plane import GatewayPlane
from pipeline.balancer.gateway.rights import BPF, NET_ADMIN, SYS_ADMIN
from pipeline.balancer.gateway.support import kernel_version_fault, rights_fault
from pipeline.balancer.gateway.wanted_gateway import WantedGateway
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config
from pipeline.testing.fakes.data_plane import FakePlane
from tests.unit.balancer.gateway_world import GatewayWorld

_WEB = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 80}},
        "load_balancers": {"edge": {"listeners": [{"port": 80, "default_action": {"forward": "web"}}]}},
    }
)


def test_without_endpoints_there_is_no_agent_and_no_file(tmp_path: Path) -> None:
    inner = FakePlane()
    plane = GatewayPlane(tmp_path, inner)
    config = plane_config(Registry().declare("shop", _WEB))
    assert plane.check(config) is None
    plane.apply(config)
    plane.steer(config.groups["shop.web"])
    plane.extend(config.groups["shop.web"])
    plane.abort("shop.web", "a")
    assert plane.observe().targets.keys() == {"shop.web"}
    assert plane.flow_counts() == ()
    assert plane.network_faults() == {}
    assert plane.open_flow("vpce-1", PacketEnds("10.0.0.1", "10.0.0.2", 6)) is None
    assert not plane.is_cut_off()
    plane.stop()
    assert [*tmp_path.iterdir()] == []
    assert inner.calls["apply"] == inner.calls["steer"] == inner.calls["extend"] == inner.calls["abort"] == 1


@pytest.mark.parametrize("module", ["pipeline.balancer.planes", "pipeline.balancer.flows.agent"])
def test_only_the_gateway_agent_loads_the_path(module: str) -> None:
    """No command does, and no agent of network load balancers."""
    code = f"import sys, {module}; print([name for name in sys.modules if '.gateway.path' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_agent_stays_small() -> None:
    """It loads no model of declarations, and nothing that starts processes. So it also starts sooner."""
    code = (
        "import sys, pipeline.balancer.gateway.agent;"
        " print([name for name in ('pydantic', 'ssl', 'subprocess', 'tempfile', 'platform') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_wanted_is_read_as_it_was_written(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path, zones=("zone-a", "zone-b"))
    world.register("fw-1", zone="zone-a")
    wanted = wanted_gateway(world.config(), ())
    assert WantedGateway.from_json(wanted.to_json()) == wanted
    assert wanted.pools.keys() == {"security.inspection_zone-a", "security.inspection_zone-b"}
    assert wanted.groups["security.firewalls"].zones == {"fw-1": "zone-a"}


@pytest.mark.parametrize(
    ("release", "is_old"), [("5.10.0", False), ("5.9.16-arch", True), ("6.1.0-13-amd64", False), ("4.19", True)]
)
def test_kernel_that_is_too_old(release: str, is_old: bool) -> None:
    fault = kernel_version_fault(release)
    assert (fault is not None) == is_old
    if fault:
        assert fault.message == f"a gateway load balancer needs Linux 5.10, this machine has {release}"


def test_a_release_that_cannot_be_parsed_is_tried() -> None:
    assert kernel_version_fault("custom") is None
    assert kernel_version_fault(os.uname().release) is None


def test_missing_rights_are_named() -> None:
    everything = 1 << NET_ADMIN | 1 << SYS_ADMIN | 1 << BPF
    assert rights_fault(everything) is None
    for held, names in ((0, "CAP_NET_ADMIN and CAP_SYS_ADMIN"), (1 << NET_ADMIN | 1 << BPF, "CAP_SYS_ADMIN")):
        fault = rights_fault(held)
        assert fault is not None
        assert fault.message == f"a gateway load balancer needs {names}, which this process does not have"
