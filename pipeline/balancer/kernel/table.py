"""The table of one balancer directory in the kernel: its content, its drift and its counters."""

from __future__ import annotations

from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.balancer.kernel import imprint
from pipeline.balancer.kernel.faults import unsupported
from pipeline.balancer.kernel.flow import FlowState
from pipeline.balancer.kernel.forwarding import Place, dropped_by_docker
from pipeline.balancer.kernel.imprint import Imprint
from pipeline.balancer.kernel.nft import Nft, NftError
from pipeline.balancer.kernel.others import PREFIX, has_iptables_nat, has_other_nat, other_tables
from pipeline.balancer.kernel.ruleset import Ruleset, ruleset
from pipeline.balancer.kernel.script import Existing, change, read_counters, recreation, removal, replacement
from pipeline.balancer.kernel.table_watch import TableWatch

_IMPRINT = "kernel-table.json"
_ATTEMPTS = 3
# Of reports that wait to be read. A change of a thousand targets reports some hundred KiB.
_BUFFER = 8 << 20


def has_vanished(directory: Path) -> bool:
    """Return whether the table of a directory was made before the last boot, or in another network namespace."""
    return imprint.is_of_other_scope(directory / _IMPRINT)


class Traffic(NamedTuple):
    """What a target had since it was first wanted: new flows, and bytes of packets in both directions."""

    flows: int
    bytes: int


class KernelTable:
    """The table that carries the flows of one balancer directory.

    Callers hold the balancer's lock, and use one thread at a time. It works in the network namespace of that thread.
    All methods raise `BalancerFault` without the right, the library or the support of the kernel. Tables of other
    programs are never changed.
    """

    def __init__(self, directory: Path, home_id: str, buffer: int = _BUFFER) -> None:
        self.name = f"{PREFIX}{home_id}"
        self._imprint = directory / _IMPRINT
        self._nft = Nft()
        self._buffer = buffer
        self._watch: TableWatch | None = None
        # The content of the table in the kernel, while nothing has happened that it may not have survived.
        self._known: Ruleset | None = None

    def apply(self, wanted: FlowState) -> None:
        """Bring the table to the wanted state, by one atomic change. No flow is lost, and open ones are not touched.

        Safe to repeat: if the table is in this state, nothing is changed. A target that is not wanted any more leaves
        the maps with the next call. An empty state keeps the table, because conntrack would be switched off with the
        last nat chain of the machine, and open flows would be reset. If other programs change the table at the same
        time, again and again, `is_intact` returns False afterwards.
        """
        content = ruleset(wanted)
        for _ in range(_ATTEMPTS):
            previous = self._watching().generation()
            if not self.is_intact() and self._is_imprinted(content):
                self._known = content
            known = self._known
            after = self._change(known, content) if known else self._replace(content)
            if after is known:
                return
            # It is known only if the reports tell that no other program changed it at the same time.
            own = self._own_generation(previous)
            self._known = None if own is None else after
            if own is not None:
                imprint.write(self._imprint, Imprint(imprint.scope(), own, content.digest))
                return

    def is_intact(self) -> bool:
        """Return whether the table is known to be as the last `apply` left it. Cheap enough to call every second.

        False before the first `apply`, and after a change by another program or another state of another process of
        Penstock. `apply` mends it.
        """
        changes = self._watching().changes()
        if self._known is not None and (changes.generations or not changes.is_complete):
            last = changes.generations[-1] if changes.is_complete else self._watching().generation()
            # Each process of Penstock makes sure of the table before it changes it. So its change is the whole truth
            # if it was the last.
            found = imprint.read(self._imprint)
            if found is None or (found.generation, found.digest) != (last, self._known.digest):
                self._known = None
        return self._known is not None

    def traffic(self) -> dict[int, Traffic]:
        """Return the traffic of each target by its mark. Takes about 20 ms for a thousand targets."""
        flows, octets = read_counters(self._nft.run(f"list table inet {self.name}"))
        return {mark: Traffic(count, octets.get(mark, 0)) for mark, count in flows.items()}

    def other_marks(self) -> set[int]:
        """Return the marks of targets that tables of other homes have."""
        found = set[int]()
        for name in other_tables(self._nft.run("list tables inet"), self.name):
            # It may have been removed in the meantime.
            with suppress(NftError):
                found |= Existing.from_listing(self._nft.run(f"list table inet {name}")).endpoints.keys()
        return found

    def undeliverable(self, places: Set[Place]) -> Set[Place]:
        """Return the places of targets to which Docker's rules let the kernel forward nothing."""
        return dropped_by_docker(self._nft.run, places) if places else places

    def remove_unless_last(self) -> bool:
        """Remove the table, unless that would switch conntrack off and reset open flows. Return whether it is gone."""
        if not (has_iptables_nat() or has_other_nat(self._nft.run, self.name)):
            return False
        self.remove()
        return True

    def remove(self) -> None:
        """Remove the table. Its open flows may be reset. Does nothing if there is none."""
        self._nft.run(removal(self.name))
        self._known = None
        self._imprint.unlink(missing_ok=True)

    def fileno(self) -> int:
        """Return a descriptor that is readable when the rules of the machine have changed, so ask `is_intact`."""
        return self._watching().fileno()

    def close(self) -> None:
        """End the child process and receive no more reports. The table stays in force."""
        self._nft.close()
        if self._watch is not None:
            self._watch.close()
        self._watch = self._known = None

    def _watching(self) -> TableWatch:
        if self._watch is None:
            self._watch = TableWatch(self.name, self._buffer)
        return self._watch

    def _is_imprinted(self, content: Ruleset) -> bool:
        """Return whether another process left the table with this content, and no rule of the machine changed since."""
        found = imprint.read(self._imprint)
        return found is not None and (found.generation, found.digest) == (self._watching().generation(), content.digest)

    def _change(self, known: Ruleset, content: Ruleset) -> Ruleset:
        """Change the table, and return what it has then: the same object if nothing had to be changed."""
        after = content.after(known.endpoints, known.retired)
        if not (script := change(self.name, known, after)):
            return known
        self._known = None
        try:
            self._nft.run(script)
        except NftError:
            # The table is not what it was: the report of a foreign change is still on its way.
            return self._replace(content)
        return after

    def _replace(self, content: Ruleset) -> Ruleset:
        """Give the table this content whatever it has, and return what it has then."""
        try:
            existing = Existing.from_listing(self._nft.run(f"list table inet {self.name}"))
        except NftError:
            existing = Existing()
        after = content.after(existing.endpoints)
        try:
            self._nft.run(replacement(self.name, after, existing))
        except NftError:
            self._recreate(content)
            return content
        return after

    def _recreate(self, content: Ruleset) -> None:
        try:
            self._nft.run(recreation(self.name, content))
        except NftError as error:
            raise unsupported(error.message.removeprefix("nftables: ")) from None

    def _own_generation(self, previous: int) -> int | None:
        """Return the generation that our change made, or None if others may have changed the table beside it."""
        changes = self._watching().changes()
        if changes.is_complete:
            return changes.generations[0] if len(changes.generations) == 1 else None
        return current if (current := self._watching().generation()) == previous + 1 else None
