"""The tables of other programs and of other homes, as `nft` lists them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.base.errors import BalancerFault

Run = Callable[[str], str]
"""A function that runs a script of nft and returns its output."""

PREFIX = "penstock_"
"""Begins the name of the table of each home."""

_TABLE = re.compile(r"^table inet (\S+)$", re.MULTILINE)
_LISTED_TABLE = re.compile(r"^table (\S+) (\S+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_LISTENER = re.compile(r"^\tchain listener_(tcp|udp)_(\d+)_([0-9a-f._]+) \{$", re.MULTILINE)
_CHAIN = re.compile(r"^\tchain (\S+) \{\n\t\ttype (\S+) hook (\S+) .*?(?:policy (\S+);)?\n", re.MULTILINE)
# A statement of nft, or a target of iptables that nft has no word for.
_TRANSLATION = re.compile(
    r"^\t\t.*(?:\b[ds]nat (?:[^;]* )?to |\b(?:masquerade|redirect)\b"
    r'|xt target "(?:[DS]NAT|MASQUERADE|REDIRECT|NETMAP)")',
    re.MULTILINE,
)
_IPTABLES = (Path("/proc/net/ip_tables_names"), Path("/proc/net/ip6_tables_names"))


class BaseChain(NamedTuple):
    """A chain through which the kernel sends packets, as `nft list chains` prints it."""

    family: str
    table: str
    name: str
    type: str
    hook: str
    policy: str


def base_chains(listing: str) -> Iterator[BaseChain]:
    """Yield the base chains of all tables, from what `nft list chains` prints."""
    for family, table, content in _LISTED_TABLE.findall(listing):
        for name, kind, hook, policy in _CHAIN.findall(content):
            yield BaseChain(family, table, name, kind, hook, policy)


def other_tables(listing: str, own: str) -> list[str]:
    """Return the tables of other homes, from what `nft list tables inet` prints."""
    return [name for name in _TABLE.findall(listing) if name.startswith(PREFIX) and name != own]


def listeners_of(listing: str) -> set[tuple[str, str, int]]:
    """Return the protocols, addresses and ports of a home's listeners, from what `nft list table` prints."""
    found = _LISTENER.findall(listing)
    return {(protocol, address.replace("_", ":"), int(port)) for protocol, port, address in found}


def has_other_nat(run: Run, own: str) -> bool:
    """Return whether a table other than `own` has a rule that translates addresses."""
    found = (chain for chain in base_chains(run("list chains")) if chain.type == "nat" and chain.table != own)
    return any(_translates(run, *table) for table in dict.fromkeys((chain.family, chain.table) for chain in found))


def _translates(run: Run, family: str, table: str) -> bool:
    """Return whether a table has such a rule. A chain without one does not keep the kernel's conntrack on."""
    # It may have been removed in the meantime, or be one that nft cannot list.
    with suppress(BalancerFault):
        return _TRANSLATION.search(run(f"list table {family} {table}")) is not None
    return False


def has_iptables_nat() -> bool:
    """Return whether the former iptables, which nft does not list, translates addresses."""
    return any(path.exists() and "nat" in path.read_text().split() for path in _IPTABLES)
