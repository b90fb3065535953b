"""What the rules of other programs let the kernel forward."""

from __future__ import annotations

import re
import socket
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.balancer.kernel.nft import NftError
from pipeline.balancer.kernel.others import BaseChain, Run, base_chains

_ACCEPT = "ct status dnat accept"
# As nft lists it. Rules of iptables have a counter.
_ACCEPTED = re.compile(r"^\s*ct status dnat (counter packets \d+ bytes \d+ )?accept\s*$", re.MULTILINE)
_DOCKER = {("ip", "filter", "FORWARD"), ("ip6", "filter", "FORWARD")}
# Docker accepts what goes to a port that it publishes.
_PUBLISHED = re.compile(r"daddr ([0-9a-f.:]+) .*?(tcp|udp) dport (\d+) .*accept$", re.MULTILINE)
_IPTABLES = Path("/proc/net/ip_tables_names")


class Place(NamedTuple):
    """An address, a port and a protocol, `tcp` or `udp`."""

    address: str
    port: int
    protocol: str


def remedy(run: Run) -> str:
    """Return what to do so that no other program drops what the kernel forwards, or an empty text.

    Docker's own chain does not count: see `dropped_by_docker`.
    """
    if _IPTABLES.exists() and "filter" in _IPTABLES.read_text().split():
        return "use iptables-nft instead of iptables-legacy, whose rules cannot be read"
    for chain in base_chains(run("list chains")):
        # It may have been removed in the meantime.
        with suppress(NftError):
            if _drops(chain) and not _is_docker(chain) and not _accepts(run, _name(chain)):
                return f"add a rule: nft insert rule {_name(chain)} {_ACCEPT}"
    return ""


def dropped_by_docker(run: Run, places: Set[Place]) -> Set[Place]:
    """Return the places to which Docker lets nothing be forwarded, because it does not publish their ports.

    What goes to an address of the machine itself is not forwarded. A person may let all pass in the chain DOCKER-USER.
    """
    found, places = set[Place](), {place for place in places if not _is_own(place.address)}
    for chain in base_chains(run("list chains")):
        if _drops(chain) and _is_docker(chain) and not _lets_all_pass(run, chain.family):
            with suppress(NftError):
                found |= _of_family(chain.family, places) - _published(run(f"list chain {chain.family} filter DOCKER"))
    return found


def _accepts(run: Run, chain: str) -> bool:
    return bool(_ACCEPTED.search(run(f"list chain {chain}")))


def _lets_all_pass(run: Run, family: str) -> bool:
    try:
        return _accepts(run, f"{family} filter DOCKER-USER")
    except NftError:
        # Old engines have no such chain, and it may have been removed in the meantime.
        return False


def _is_own(address: str) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _published(listing: str) -> Set[Place]:
    return {Place(address, int(port), protocol) for address, protocol, port in _PUBLISHED.findall(listing)}


def _of_family(family: str, places: Set[Place]) -> Set[Place]:
    return {place for place in places if (":" in place.address) == (family == "ip6")}


def _drops(chain: BaseChain) -> bool:
    return chain.hook == "forward" and chain.policy == "drop"


def _is_docker(chain: BaseChain) -> bool:
    return (chain.family, chain.table, chain.name) in _DOCKER


def _name(chain: BaseChain) -> str:
    return f"{chain.family} {chain.table} {chain.name}"
