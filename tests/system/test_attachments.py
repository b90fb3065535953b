"""Networks attached to an endpoint: their devices, routes and routers in real namespaces, and after SIGKILL."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline.balancer.wanted_endpoint import WantedEndpoint
from pipeline.base.errors import ConfigError
from tests.support.namespace import obstacle
from tests.support.sample import FULL
from tests.support.waiting import DEADLINE
from tests.system.attachment_lab import AttachmentLab, Hub

# The points of a sample: fewer make no new state.
_POINTS = 12
_NO_CHECKSUM = 11
_LEAST = {"attach": 100, "detach": 10, "change": 20}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AttachmentLab]:
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with closing(AttachmentLab(tmp_path)) as made:
        yield made


def test_each_network_gets_its_device_and_nothing_is_left(lab: AttachmentLab) -> None:
    """Every kind of network has a device without ARP and its routes. All of it is gone after the last call."""
    before = lab.state()
    attached = {each.network.name: each for each in lab.attach()}
    assert lab.attachments.faults() == {}
    assert attached.keys() == {"clients", "apps", "outside"}
    assert attached["apps"].network.addresses == ("198.18.1.0/24",)
    assert len({each.attachment for each in attached.values()}) == 3
    state = lab.state()
    (device,) = (name for name, mtu, *_ in state["clients"]["links"] if mtu == 8500)
    routes = [route[:3] for route in state["clients"]["routes"] if route[1] == device and route[2] != "kernel"]
    assert routes == [("default", device, "80"), ("default", device, "80")]
    assert {route[0] for route in state["host"]["routes"] if route[2] == "80"} == {
        "198.18.0.0/24",
        "198.18.1.0/24",
        "fd18::/64",
    }
    assert len(state["namespaces"]) == 1
    lab.detach()
    assert lab.state() == before


def test_a_second_call_changes_nothing(lab: AttachmentLab) -> None:
    """The devices stay the same ones."""
    first, state, stamp = lab.attach(), lab.state(), lab.stamp()
    assert lab.attach() == first
    assert lab.state() == state
    assert lab.stamp() == stamp


def test_packets_go_from_network_to_network(lab: AttachmentLab) -> None:
    """Containers keep Docker's default route, and the application sees the address of the client."""
    with closing(Hub(lab, lab.attach())) as hub, lab.app.entered():
        hub.start()
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # The hub gets packets before a device would make their checksums.
        server.setsockopt(socket.SOL_SOCKET, _NO_CHECKSUM, 1)
        server.bind(("198.18.1.2", 5000))
        server.settimeout(DEADLINE)
        with server, lab.clients.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_SOCKET, _NO_CHECKSUM, 1)
            client.settimeout(DEADLINE)
            client.sendto(b"?", ("198.18.1.2", 5000))
            question, address = server.recvfrom(10)
            assert (question, address[0]) == (b"?", "198.18.0.2")
            server.sendto(b"!", address)
            assert client.recvfrom(10) == (b"!", ("198.18.1.2", 5000))


@pytest.mark.parametrize("do", ["attach", "detach", "change"])
def test_killed_at_every_step(lab: AttachmentLab, do: str) -> None:
    """The next call completes what a killed one has begun, and then all can be removed."""
    before = lab.state()
    lab.attach()
    complete = lab.state()
    lab.detach()
    changed = lab.wanted(lab.of_app(), lab.of_clients(routes=("198.18.1.0/24",)))
    calls: dict[str, Callable[[], object]] = {
        "attach": lambda: lab.attachments.attached(lab.wanted()),
        "detach": lab.attachments.detach_all,
        "change": lambda: lab.attachments.attached(changed),
    }
    steps, count = _steps(lab, do, calls[do]), 0
    for step in range(0, steps, 1 if FULL else max(1, steps // _POINTS)):
        if do != "attach":
            lab.attach()
        assert lab.killed_after(step, calls[do]), step
        lab.attach()
        assert lab.state() == complete, f"step {step} of {steps}"
        lab.detach()
        assert lab.state() == before, f"step {step} of {steps}"
        count += 1
    assert count >= _POINTS
    # The lab kills before and after each change, and finds the changes by the names of functions.
    assert steps >= _LEAST[do]


def test_killed_and_then_removed(lab: AttachmentLab) -> None:
    """What a killed call has made is removed without being completed."""
    before = lab.state()
    steps = _steps(lab, "attach", lambda: lab.attachments.attached(lab.wanted()))
    for step in range(0, steps, 1 if FULL else max(1, steps // _POINTS)):
        assert lab.killed_after(step, lambda: lab.attachments.attached(lab.wanted())), step
        lab.detach()
        assert lab.state() == before, f"step {step} of {steps}"


def _steps(lab: AttachmentLab, do: str, call: Callable[[], object]) -> int:
    """Return the number of steps of a call, by trying."""
    low, high = 0, 1 << 14
    while low < high:
        middle = (low + high) // 2
        lab.detach()
        if do != "attach":
            lab.attach()
        low, high = (middle + 1, high) if lab.killed_after(middle, call) else (low, middle)
    lab.detach()
    return low


def test_a_lost_file_leaves_nothing(lab: AttachmentLab, tmp_path: Path) -> None:
    """Devices are found by the id of the home beside their names."""
    before = lab.state()
    lab.attach()
    (tmp_path / "attachments.json").unlink()
    lab.detach()
    assert lab.state() == before


def test_a_lost_file_leaves_no_network_that_is_not_wanted(lab: AttachmentLab, tmp_path: Path) -> None:
    """The next call removes the devices that only the file knew."""
    lab.attach(lab.of_clients())
    expected = lab.state()
    lab.attach()
    (tmp_path / "attachments.json").write_text("{")
    lab.attach(lab.of_clients())
    assert lab.state() == expected


def test_a_namespace_that_comes_back_is_attached_again(lab: AttachmentLab, tmp_path: Path) -> None:
    """A network that is gone has a fault that names it. The others stay attached."""
    link = tmp_path / "clients"
    link.symlink_to(f"/proc/{lab.clients.pid}/ns/net")
    of_clients = lab.of_clients(place=str(link))
    lab.attach(of_clients, lab.of_app())
    complete, stamp = lab.state(), lab.stamp()
    link.unlink()
    assert lab.stamp() != stamp
    (left,) = lab.attach(of_clients, lab.of_app())
    assert left.network.name == "apps"
    (fault,) = lab.attachments.faults().values()
    assert fault.message == f"there is no network namespace {link}: No such file or directory"
    stamp = lab.stamp()
    link.symlink_to(f"/proc/{lab.clients.pid}/ns/net")
    assert lab.stamp() != stamp
    assert len(lab.attach(of_clients, lab.of_app())) == 2
    assert lab.state() == complete
    assert lab.attachments.faults() == {}


def test_a_network_of_docker_that_comes_back_is_attached_again(lab: AttachmentLab) -> None:
    """Its router goes with it."""
    lab.attach(lab.of_app())
    complete = lab.state()
    lab.bridge = ""
    assert lab.attach(lab.of_app()) == ()
    assert lab.state()["namespaces"] == []
    (fault,) = lab.attachments.faults().values()
    assert fault.message == "there is no network inspected of Docker"
    lab.bridge = "br-test"
    assert len(lab.attach(lab.of_app())) == 1
    assert lab.state() == complete


def test_a_default_route_of_others_is_refused(lab: AttachmentLab) -> None:
    """The route stays, and the message names it and what to do."""
    lab.clients.ip("route add default via 198.18.0.1")
    before = lab.state()
    with lab.host.entered(), pytest.raises(ConfigError) as error:
        lab.attachments.check(lab.wanted(lab.of_clients()))
    place = f"/proc/{lab.clients.pid}/ns/net"
    assert str(error.value).splitlines() == [
        f"network clients of endpoint office of web: network namespace {place} has a default route by device lan",
        f"remove it with `nsenter --net={place} ip route del default`, or list other destinations in routes",
    ]
    assert lab.attach(lab.of_clients()) == ()
    assert lab.state() == before
    (attached,) = lab.attach(lab.of_clients(routes=("198.18.1.0/24",)))
    assert attached.network.name == "clients"
    lab.detach()
    assert lab.state() == before


def test_networks_of_two_endpoints_are_exchanged(lab: AttachmentLab) -> None:
    """And go to an endpoint of another name. The routes of the former endpoint are not in the way."""
    apps = lab.of_clients(addresses=("198.18.1.0/24",), place=f"/proc/{lab.app.pid}/ns/net")
    lab.app.ip("route del default")
    (one,) = lab.wanted(lab.of_clients())
    other = replace(one, id="vpce-0fedcba9876543210", name="other", networks=(apps,))
    renamed = replace(one, id="vpce-0abcdef0123456789", name="branch")
    complete: list[int] = []
    for wanted in ([one, other], _exchanged(one, other), [one, other], [renamed, other]):
        with lab.host.entered():
            lab.attachments.check(wanted)
            assert len(lab.attachments.attached(wanted)) == 2
            assert lab.attachments.faults() == {}
        numbers = [len(lab.state()[place]["links"]) for place in ("host", "clients", "app")]
        assert (complete := complete or numbers) == numbers


def _exchanged(one: WantedEndpoint, other: WantedEndpoint) -> list[WantedEndpoint]:
    return [replace(one, networks=other.networks), replace(other, networks=one.networks)]


def test_a_device_that_is_removed_is_made_again(lab: AttachmentLab) -> None:
    """Somebody who removes one end of a cable removes both."""
    lab.attach()
    complete, stamp = lab.state(), lab.stamp()
    (device,) = (name for name, mtu, *_ in complete["clients"]["links"] if mtu == 8500)
    lab.clients.ip(f"link delete {device}")
    assert lab.stamp() != stamp
    assert len(lab.attach()) == 3
    assert lab.state() == complete


@pytest.mark.parametrize(
    ("side", "change"),
    [
        ("host", "link set {} down"),
        ("host", "link set {} arp on"),
        ("host", "link set {} address 02:00:00:00:00:77"),
        ("host", "link set {} mtu 1400"),
        ("clients", "link set {} down"),
        ("clients", "link set {} arp on"),
        ("clients", "link set {} mtu 1400"),
        ("clients", "route del default dev {}"),
        ("clients", "-6 route del default dev {}"),
    ],
)
def test_a_device_that_is_changed_is_as_before_after_the_next_call(lab: AttachmentLab, side: str, change: str) -> None:
    lab.attach()
    complete, stamp, addresses = lab.state(), lab.stamp(), _addresses(lab)
    (device,) = (name for name, mtu, *_ in complete["clients"]["links"] if mtu == 8500)
    place, name = (lab.clients, device) if side == "clients" else (lab.host, device.replace("gwlbe", "gwlbo"))
    place.run("ip", *change.format(name).split())
    assert lab.stamp() != stamp
    lab.attach()
    assert (lab.state(), _addresses(lab)) == (complete, addresses)


def _addresses(lab: AttachmentLab) -> set[tuple[str, str, bool]]:
    """Return the names and hardware addresses of the devices of endpoints, and whether they have no ARP."""
    lines = "".join(place.run("ip", "-oneline", "link") for place in (lab.host, lab.clients)).splitlines()
    ours = [line for line in lines if line.split()[1].startswith(_DEVICES)]
    return {
        (line.split()[1].partition("@")[0], line.partition("link/ether ")[2][:17], "NOARP" in line) for line in ours
    }


def test_limit_that_is_killed_at_every_step(lab: AttachmentLab) -> None:
    """It is only complete when all devices have the size, and the next call completes it."""
    lab.attach()
    id_, step = lab.wanted()[0].id, 0
    for size in range(1400, 1500):
        sizes = {id_: size}
        was_killed = lab.killed_after(step, partial(lab.attachments.limit, sizes))
        assert not (lab.attachments.has_limits(sizes) and _sizes(lab) != {size}), step
        with lab.host.entered():
            lab.attachments.limit(sizes)
        assert (lab.attachments.has_limits(sizes), _sizes(lab)) == (True, {size}), step
        step += 1
        if not was_killed:
            break
    assert step > 6


_DEVICES = ("gwlbe-", "gwlbo-")


def _sizes(lab: AttachmentLab) -> set[int]:
    """Return the sizes of the devices that packets of the networks enter the endpoint by."""
    state = lab.state()
    return {mtu for place in ("host", "clients") for name, mtu, *_ in state[place]["links"] if name[:6] in _DEVICES}
