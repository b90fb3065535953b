"""What nft prints about the rules of other programs."""

from __future__ import annotations

import pytest

from pipeline.balancer.kernel.forwarding import Place, dropped_by_docker, remedy
from pipeline.balancer.kernel.nft import NftError
from pipeline.balancer.kernel.others import has_other_nat, other_tables

_CHAINS = """\
table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
	}
	chain DOCKER {
	}
}
table ip filter {
	chain DOCKER {
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
table inet user {
	chain forward {
		type filter hook forward priority filter - 10; policy drop;
	}
}
"""
_DOCKER = """\
table ip filter {
	chain DOCKER {
		oifname "br-a" meta l4proto tcp ip daddr 172.20.0.2 tcp dport 5000 counter packets 3 bytes 180 accept
		oifname "br-a" meta l4proto udp ip daddr 172.20.0.2 udp dport 53 counter packets 0 bytes 0 accept
		oifname "br-a" meta l4proto tcp ip daddr 172.20.0.3 tcp dport 5000 counter packets 0 bytes 0 drop
	}
}
"""


def run(*, chains: str = _CHAINS, docker: str = _DOCKER, users: str = "", user: str = "") -> object:
    """A function that answers what nft would."""
    found = {
        "list chains": chains,
        "list chain ip filter DOCKER": docker,
        "list chain ip filter DOCKER-USER": users,
        "list chain inet user forward": user,
    }
    return lambda script: found[script]


_OWN = "table inet penstock_1 {\n\tchain o {\n\t\ttype nat hook output priority 0; policy accept;\n\t}\n}\n"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('oifname != "docker0" ip saddr 172.17.0.0/16 counter packets 0 bytes 0 masquerade', True),
        ("tcp dport 81 counter packets 0 bytes 0 dnat to 172.17.0.2:80", True),
        ("meta l4proto tcp dnat ip to 172.17.0.2", True),
        ("snat ip addr . port to ip saddr map { 10.0.0.1 : 10.0.0.2 . 80 }", True),
        ("tcp dport 80 redirect to :8080", True),
        ('counter packets 0 bytes 0 xt target "MASQUERADE"', True),
        ("ct status dnat accept", False),
        ("fib daddr type local jump DOCKER", False),
        ("", False),
    ],
)
def test_other_tables_that_translate(rule: str, expected: bool) -> None:
    """A table with a chain for translation counts if some rule of it translates. The own one does not count."""
    nat = f"table ip nat {{\n\tchain masquerade {{\n\t\t{rule}\n\t}}\n}}\n"
    found = {"list chains": _CHAINS, "list table ip nat": nat}
    assert has_other_nat(found.__getitem__, "penstock_1") is expected
    assert not has_other_nat({"list chains": _OWN}.__getitem__, "penstock_1")


def test_table_that_cannot_be_listed() -> None:
    """It does not count, so the own table stays."""

    def gone(script: str) -> str:
        if script == "list chains":
            return _CHAINS
        raise NftError("nftables: No such file or directory")

    assert not has_other_nat(gone, "penstock_1")


def test_tables_of_other_homes() -> None:
    """They are known by the beginnings of their names."""
    listing = "table inet penstock_1\ntable inet penstock_2\ntable inet user\n"
    assert other_tables(listing, "penstock_1") == ["penstock_2"]


def test_docker_accepts_published_ports() -> None:
    """Docker drops what is forwarded to a port that it does not publish. Without its chain, nothing is dropped."""
    accepted = {Place("172.20.0.2", 5000, "tcp"), Place("172.20.0.2", 53, "udp"), Place("fd00::1", 1, "tcp")}
    dropped = {Place("172.20.0.2", 53, "tcp"), Place("172.20.0.3", 5000, "tcp"), Place("192.0.2.1", 1, "tcp")}
    assert dropped_by_docker(run(), accepted | dropped) == dropped  # type: ignore[arg-type]
    assert dropped_by_docker(run(chains=""), dropped) == set()  # type: ignore[arg-type]


@pytest.mark.parametrize("counter", ["", "counter packets 3 bytes 180 "])
def test_docker_user_lets_all_pass(counter: str) -> None:
    """A person's rule in Docker's chain for them lets translated flows pass, in its family."""
    users = f"table ip filter {{\n\tchain DOCKER-USER {{\n\t\tct status dnat {counter}accept\n\t}}\n}}\n"
    assert dropped_by_docker(run(users=users), {Place("172.20.0.3", 5000, "tcp")}) == set()  # type: ignore[arg-type]
    limited = users.replace("ct status", "ip saddr 192.0.2.1 ct status")
    assert dropped_by_docker(run(users=limited), {Place("172.20.0.3", 5000, "tcp")})  # type: ignore[arg-type]


def test_chain_that_drops_what_is_forwarded() -> None:
    """A chain of another program that drops what is forwarded is named with the rule to add."""
    assert remedy(run()) == "add a rule: nft insert rule inet user forward ct status dnat accept"  # type: ignore[arg-type]
    assert remedy(run(user="ct status dnat accept")) == ""  # type: ignore[arg-type]


def test_chain_that_is_removed_meanwhile() -> None:
    """A chain that is removed between two looks drops nothing."""

    def gone(script: str) -> str:
        if script == "list chains":
            return _CHAINS
        raise NftError("nftables: No such file or directory")

    assert remedy(gone) == ""
    assert dropped_by_docker(gone, {Place("172.20.0.2", 1, "tcp")}) == set()
