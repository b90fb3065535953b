"""The marks of targets, by which the kernel counts and cuts their flows. One network namespace has each mark once."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from hashlib import blake2b
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from pipeline.balancer.kernel.flow import HIDDEN_BIT, MARK_PREFIX, Address
from pipeline.base.errors import BalancerFault

# As many marks has each half: that of targets that see the client's address, and that of the others.
_COUNT = HIDDEN_BIT - 1


class MarkedTarget(NamedTuple):
    """A target of a group at one address and port. See `GroupFlows` for `hidden`."""

    group: str
    target: str
    endpoint: str
    hidden: bool

    @property
    def place(self) -> tuple[Address, int]:
        """Its address and port."""
        host, _, port = self.endpoint.rpartition(":")
        return ip_address(host.strip("[]")), int(port)


Marks = Mapping[MarkedTarget, int]


def with_marks(known: Marks, wanted: Collection[MarkedTarget], taken: Collection[int], home: str) -> Marks:
    """Return `known` with a mark for each wanted target. It is the same object if all have one.

    `taken`: marks that others use. The marks of a home follow from its id, so after a loss of the file most targets get
    the mark that they had. Raises `BalancerFault` if no mark is left.
    """
    missing = [target for target in wanted if target not in known]
    if not missing:
        return known
    found, used = dict(known), {*known.values(), *taken}
    for target in sorted(missing):
        found[target] = mark = _free(target, used, home)
        used.add(mark)
    return found


def without(known: Marks, gone: Collection[MarkedTarget]) -> Marks:
    """Return `known` without some targets. It is the same object if there are none."""
    return {target: mark for target, mark in known.items() if target not in gone} if gone else known


def _free(target: MarkedTarget, used: Collection[int], home: str) -> int:
    digest = blake2b(f"{home} {target.group} {target.target} {target.endpoint}".encode(), digest_size=4).digest()
    first = int.from_bytes(digest) % _COUNT
    base = MARK_PREFIX + 1 + (HIDDEN_BIT if target.hidden else 0)
    for step in range(_COUNT):
        mark = base + (first + step) % _COUNT
        if mark not in used:
            return mark
    raise BalancerFault(f"no mark is left for target {target.target} of {target.group}: {_COUNT} are in use")


class MarkFile:
    """The marks of one home in a file, so that flows keep theirs when the flow agent is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Marks:
        """Return the marks. Empty if the file is missing or damaged."""
        try:
            return {MarkedTarget(*target): int(mark) for mark, *target in json.loads(self._path.read_text())}
        except (OSError, ValueError, TypeError):
            return {}

    def write(self, marks: Marks) -> None:
        """Replace the file. If it cannot be written, another flow agent may count flows of other targets for these.

        It need not survive a power cut, because flows do not.
        """
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            draft.write_text(json.dumps([[mark, *target] for target, mark in marks.items()]))
            draft.replace(self._path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
