"""A machine with clients, applications behind a bridge as Docker's, and an endpoint between them, in namespaces.

The clients have 198.18.0.2 and fd18::2, the application 198.18.1.2 behind the bridge `br-test`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.balancer.attachments.attachments import Attached, Attachments
from pipeline.balancer.attachments.docker_network import DockerNetwork
from pipeline.balancer.attachments.fault import Missing
from pipeline.balancer.attachments.record import AttachmentRecord
from pipeline.balancer.wanted_endpoint import WantedEndpoint, WantedNetwork
from tests.support.namespace import Namespace

_CODE = f"{Path('pipeline', 'balancer', 'attachments')}{os.sep}"
# The functions that change something. Between two of them, nothing outside of the process does.
_EFFECTS = {"_change", "_libc", "write", "write_settings"}
_ETHERNET, _ADDRESS = 3, 6


class AttachmentLab:
    """The machine, the clients and the application. Docker has no network if `bridge` is set to an empty text."""

    def __init__(self, directory: Path) -> None:
        self.home = os.urandom(6).hex()
        self.bridge = "br-test"
        self.attachments = Attachments(directory, self.home, self.find)
        with ExitStack() as opened:
            self.host, self.clients, self.app = (opened.enter_context(closing(Namespace())) for _ in range(3))
            self._opened = opened.pop_all()
        self.clients.ip(
            "link add lan type bridge",
            "link set lan addrgenmode none",
            "address add 198.18.0.2/24 dev lan",
            "address add fd18::2/64 dev lan nodad",
            "link set lan up",
        )
        self.host.ip("link add br-test type bridge", "link set br-test addrgenmode none", "link set br-test up")
        self.host.ip(
            f"link add cable type veth peer name eth0 netns {self.app.pid}",
            "link set cable master br-test addrgenmode none",
            "link set cable up",
        )
        self.app.ip(
            "link set eth0 addrgenmode none",
            "address add 198.18.1.2/24 dev eth0",
            "link set eth0 up",
            "route add default via 198.18.1.1",
        )

    def close(self) -> None:
        """Give up the namespaces, and what was made for them."""
        with self.host.entered():
            self.attachments.detach_all()
        self._opened.close()

    def find(self, name: str) -> DockerNetwork:
        """Return the network of the application, as Docker would describe it."""
        if not self.bridge:
            raise Missing(f"there is no network {name} of Docker")
        return DockerNetwork(self.bridge, ("198.18.1.0/24",), "198.18.1.1/24", 1500)

    def wanted(self, *networks: WantedNetwork) -> list[WantedEndpoint]:
        """Return the endpoint of these networks, or of all."""
        known = networks or (self.of_clients(), self.of_app(), self.of_host())
        return [WantedEndpoint("vpce-00123456789abcdef", "web", "office", None, ("web", "inspection"), known)]

    def of_clients(self, **changes: Any) -> WantedNetwork:
        """Return the clients' network."""
        given = {"addresses": ("198.18.0.0/24", "fd18::/64"), "place": f"/proc/{self.clients.pid}/ns/net", **changes}
        return WantedNetwork("clients", "namespace", **given)

    def of_app(self) -> WantedNetwork:
        """Return the application's network."""
        return WantedNetwork("apps", "docker_network", "inspected")

    def of_host(self) -> WantedNetwork:
        """Return the machine's own network."""
        return WantedNetwork("outside", "host", "", ("203.0.113.0/24",))

    def attach(self, *networks: WantedNetwork) -> tuple[Attached, ...]:
        """Attach these networks, or all."""
        with self.host.entered():
            return self.attachments.attached(self.wanted(*networks))

    def detach(self) -> None:
        """Detach all networks."""
        with self.host.entered():
            self.attachments.detach_all()

    def stamp(self) -> object:
        """Return the stamp of the attachments."""
        with self.host.entered():
            return self.attachments.stamp()

    def state(self) -> dict[str, Any]:
        """Return all devices, addresses, routes, rules and namespaces that an attachment could leave behind."""
        mine = sorted(path.name for path in Path("/run/netns").glob("penstock-*") if path.name in self._routers())
        namespaces = {"host": self.host, "clients": self.clients, "app": self.app}
        return {name: _state_of(one) for name, one in namespaces.items()} | {"namespaces": mine}

    def _routers(self) -> set[str]:
        wanted = self.wanted()[0]
        return {AttachmentRecord.of(self.home, wanted, network).router.name for network in wanted.networks}

    def killed_after(self, steps: int, do: Callable[[], object]) -> bool:
        """Run a function in a child that is killed after so many steps. Return False if it had fewer."""
        child = os.fork()
        if child == 0:
            _die_after(steps)
            with self.host.entered():
                do()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


class Hub(threading.Thread):
    """Stands in for the plane: it passes the packets of each attached network on to the one with their destination."""

    def __init__(self, lab: AttachmentLab, attached: tuple[Attached, ...]) -> None:
        super().__init__(daemon=True)
        self._ports = {}
        self.seen: list[str] = []
        names = {each.network.name: each.ifindex for each in attached}
        with lab.host.entered():
            for network, prefix in (("clients", b"\xc6\x12\x00"), ("apps", b"\xc6\x12\x01")):
                port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERNET))
                port.bind((socket.if_indextoname(names[network]), _ETHERNET))
                port.settimeout(0.05)
                self._ports[prefix] = port
        self._is_ending = threading.Event()

    def run(self) -> None:
        """Pass packets on until `close`."""
        while not self._is_ending.is_set():
            for port in self._ports.values():
                try:
                    frame, (*_, kind, _, _) = port.recvfrom(9000)
                except TimeoutError:
                    continue
                # 4: one that the hub itself has sent.
                target = self._ports.get(frame[30:33]) if kind != 4 and frame[12:14] == b"\x08\x00" else None
                if target is not None:
                    mac = target.getsockname()[4]
                    target.send(mac + mac + frame[2 * _ADDRESS :])

    def close(self) -> None:
        """End the thread."""
        self._is_ending.set()
        self.join()
        for port in self._ports.values():
            port.close()


def _die_after(steps: int) -> None:
    """Let this process die before or after a change that the attachments make, in any of its threads."""
    left = steps

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal left
        if _CODE not in frame.f_code.co_filename:
            return None
        frame.f_trace_lines = False
        if frame.f_code.co_name not in _EFFECTS:
            return None
        if event in ("call", "return"):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    threading.settrace(trace)
    sys.settrace(trace)


def _state_of(namespace: Namespace) -> dict[str, Any]:
    links, addresses = (json.loads(namespace.run("ip", "-j", kind)) for kind in ("link", "address"))
    routes = [json.loads(namespace.run("ip", "-j", family, "route", "show", "table", "all")) for family in ("-4", "-6")]
    rules = [json.loads(namespace.run("ip", "-j", family, "rule")) for family in ("-4", "-6")]
    return {
        "links": sorted(
            (each["ifname"], each["mtu"], each["address"], each.get("ifalias", ""), each.get("master", ""))
            for each in links
        ),
        "up": sorted(each["ifname"] for each in links if "UP" in each["flags"]),
        "addresses": sorted(
            (each["ifname"], found["local"], found["prefixlen"]) for each in addresses for found in each["addr_info"]
        ),
        "routes": sorted(
            (each["dst"], each.get("dev", ""), each.get("protocol", ""), each.get("table", ""))
            for family in routes
            for each in family
        ),
        "rules": rules,
        "nft": namespace.run("nft", "list", "ruleset"),
    }
