"""What nft prints about the rules of other programs."""

from __future__ import annotations

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


def run(*, chains: str = _CHAINS, docker: str = _DOCKER, user: str = "") -> object:
    """A function that answers what nft would."""
    found = {
        "list chains": chains,
        "list chain ip filter DOCKER": docker,
        "list chain inet user forward": user,
    }
    return lambda script: found[script]


def test_translating_tables() -> None:
    """Tables of other programs that translate addresses are found, and tables of other homes."""
    assert has_other_nat(_CHAINS, "penstock_1")
    assert not has_other_nat(
        "table inet penstock_1 {\n\tchain o {\n\t\ttype nat hook output priority 0; policy accept;\n\t}\n}\n",
        "penstock_1",
    )
    assert other_tables("table inet penstock_1\ntable inet penstock_2\ntable inet user\n", "penstock_1") == [
        "penstock_2"
    ]


def test_docker_accepts_published_ports() -> None:
    """Docker drops what is forwarded to a port that it does not publish. Without its chain, nothing is dropped."""
    accepted = {Place("172.20.0.2", 5000, "tcp"), Place("172.20.0.2", 53, "udp"), Place("fd00::1", 1, "tcp")}
    dropped = {Place("172.20.0.2", 53, "tcp"), Place("172.20.0.3", 5000, "tcp"), Place("192.0.2.1", 1, "tcp")}
    assert dropped_by_docker(run(), accepted | dropped) == dropped  # type: ignore[arg-type]
    assert dropped_by_docker(run(chains=""), dropped) == set()  # type: ignore[arg-type]


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
