"""The path of packets while the process that loaded it is killed, and while its programs are replaced."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from pipeline.balancer.gateway.path.bpf import MapShape
from pipeline.balancer.gateway.path.gateway_path import OBJECT
from pipeline.balancer.gateway.path.object_file import ObjectFile
from tests.support.namespace import obstacle
from tests.support.path_lab import HOME, PathLab
from tests.support.waiting import COMMAND_TIMEOUT, until
from tests.system.path_connection import PathConnection

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())
_OWNER = f"""
import pickle, sys
from pipeline.balancer.gateway.path.gateway_path import GatewayPath
path = GatewayPath("{HOME}")
path.write(pickle.load(sys.stdin.buffer))
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="lab")
def _lab() -> Iterator[PathLab]:
    lab = PathLab()
    try:
        yield lab
    finally:
        lab.close()


def test_killed_owner(lab: PathLab) -> None:
    """SIGKILL of the process that wrote the path stops no packet. The next one adopts flows, programs and counts."""
    state = lab.state(1, 2, 3)
    inside = ["nsenter", f"--net=/proc/{lab.machine.pid}/ns/net", sys.executable, "-c", _OWNER]
    owner = subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner.stdin, owner.stdout:
        owner.stdin.write(pickle.dumps(state))
        owner.stdin.flush()
        assert owner.stdout.readline() == b"written\n"
        connection = PathConnection(lab)
        with connection.streaming() as times:
            until(lambda: len(times) > 3, "the stream")
            owner.kill()
            owner.wait(timeout=COMMAND_TIMEOUT)
            killed = len(times)
            until(lambda: len(times) > killed + 3, "the stream without an owner")
            lab.path.close()
            lab.path = lab.opened()
            (adopted,) = lab.path.flows()
            lab.write(state)
            written = len(times)
            until(lambda: len(times) > written + 3, "the stream after the adoption")
    (flow,) = lab.path.flows()
    assert (flow.cookie, flow.target) == (adopted.cookie, adopted.target)
    assert flow.packets > adopted.packets > 0
    counts = lab.path.counts()
    assert counts.drops == {}
    assert [traffic.flows for traffic in counts.traffic.values()] == [1]
    connection.close()


class _Halved(ObjectFile):
    """The programs with half the room in some maps."""

    def maps(self) -> Mapping[str, MapShape]:
        found = super().maps()
        names = ("flows", "targets", "links", "pools", "slots", "routes", "drops")
        return {**found, **{name: found[name]._replace(entries=found[name].entries // 2) for name in names}}


def test_other_layout(lab: PathLab) -> None:
    """A program whose maps have another size takes over what the former ones hold, while packets go on."""
    lab.write(lab.state(1, 2, 3))
    connection = PathConnection(lab)
    with connection.streaming() as times:
        until(lambda: len(times) > 3, "the stream")
        (former,) = lab.path.flows()
        newer = lab.opened(built=_Halved(OBJECT))
        lab.path.close()
        lab.path, replaced = newer, len(times)
        until(lambda: len(times) > replaced + 3, "the stream by the newer programs")
    (flow,) = lab.path.flows()
    assert (flow.cookie, flow.target) == (former.cookie, former.target)
    PathConnection(lab).close()
    connection.close()
