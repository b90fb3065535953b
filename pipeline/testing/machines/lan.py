"""A network that joins machines of namespaces with each other and with this machine, and whose cables can be cut."""

from __future__ import annotations

import json
import secrets
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pipeline.testing.machines.machine import COMMAND_TIMEOUT, Machine

_HOME, _FIRST = 1, 11


class Lan:
    """A switch in a network namespace of its own, with a cable to this machine.

    This machine filters nothing between the others: its own rules do not see their packets. `addresses` are in no
    route of this machine. The first quarter is that of the network. The others are for engines.
    """

    def __init__(self, folder: Path) -> None:
        self.addresses = unused_range()
        self.network, *self.spare = self.addresses.subnets(new_prefix=22)
        self.home = self.network[_HOME]
        """The address of this machine."""
        self._switch = Machine("switch", folder / "switch")
        self.cable = f"lan{secrets.token_hex(4)}"
        """The interface of this machine."""
        self._numbers: dict[str, int] = {}

    def switch_on(self) -> None:
        """Create the switch, and connect this machine."""
        self._switch.switch_on()
        _ip(f"link add {self.cable} type veth peer name home netns {self._switch.init}")
        _ip(f"address add {self.home}/{self.network.prefixlen} dev {self.cable}")
        _ip(f"link set {self.cable} up")
        self._ip("link add lan type bridge forward_delay 0 stp_state 0")
        self._ip("link set lan up")
        self._ip("link set home master lan up")

    def switch_off(self) -> None:
        """Remove the switch with all cables."""
        self._switch.cut_power()
        # The other end disappears only with the last process of the switch, which may take longer.
        subprocess.run(["ip", "link", "delete", self.cable], check=False, capture_output=True, timeout=COMMAND_TIMEOUT)

    def address(self, name: str) -> IPv4Address:
        """Return the address of a machine, the same whenever it is connected."""
        return self.network[_FIRST + self._numbers.setdefault(name, len(self._numbers))]

    def connect(self, machine: Machine) -> None:
        """Lay the cable of a machine that has just been switched on."""
        address, port = self.address(machine.name), self._port(machine.name)
        # With the same hardware address whenever it is on. Others remember that for half a minute.
        hardware = ":".join(f"{byte:02x}" for byte in (2, 0, *address.packed))
        # That of the machine before its power was cut may still be there.
        subprocess.run(
            self._switch.inside("ip", "link", "delete", port), check=False, capture_output=True, timeout=COMMAND_TIMEOUT
        )
        # The namespaces are named by process ids of this machine, so the command runs here.
        near, far = f"{port}-{self.cable[-6:]}", f"cable address {hardware} netns {machine.init}"
        _ip(f"link add {near} type veth peer name {far}")
        _ip(f"link set {near} name {port} netns {self._switch.init}")
        self._ip(f"link set {port} master lan up")
        machine.run("ip", "address", "add", f"{address}/{self.network.prefixlen}", "dev", "cable")
        machine.run("ip", "link", "set", "cable", "up")
        machine.run("ip", "route", "add", "default", "via", str(self.home))

    def route(self, addresses: IPv4Network, name: str) -> None:
        """Let this machine reach a range of addresses through a machine."""
        _ip(f"route replace {addresses} via {self.address(name)}")

    def cut(self, name: str) -> None:
        """Cut the cable of a machine. Packets disappear without a word, and connections stay open."""
        self._ip(f"link set {self._port(name)} down")

    def mend(self, name: str) -> None:
        """Return the cable of a machine."""
        self._ip(f"link set {self._port(name)} up")

    def _port(self, name: str) -> str:
        return f"port{self._numbers[name]}"

    def _ip(self, words: str) -> None:
        self._switch.run("ip", *words.split())


def unused_range() -> IPv4Network:
    """Return a range of 4,096 addresses that no route of this machine overlaps."""
    routes = json.loads(
        subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, check=True, timeout=COMMAND_TIMEOUT).stdout
    )
    known = [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]
    while True:
        candidate = IPv4Network(f"10.{128 + secrets.randbelow(64)}.{16 * secrets.randbelow(16)}.0/20")
        if not any(candidate.overlaps(network) for network in known):
            return candidate


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, timeout=COMMAND_TIMEOUT)
