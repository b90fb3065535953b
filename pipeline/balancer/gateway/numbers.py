"""The numbers by which the path knows appliances, pools and endpoints, in a file, so that flows keep theirs."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

_COUNT = 2**31 - 1


class Appliance(NamedTuple):
    """A target of a group at one address. `endpoint`: its address and port. At another one, it is another appliance."""

    group: str
    target: str
    endpoint: str

    @property
    def key(self) -> str:
        """What distinguishes it, as one text."""
        return " ".join(self)


@dataclass(frozen=True)
class Numbers:
    """Each has a number that no other of its kind has."""

    appliances: Mapping[Appliance, int] = field(default_factory=dict)
    pools: Mapping[str, int] = field(default_factory=dict)
    endpoints: Mapping[str, int] = field(default_factory=dict)

    def covering(
        self, appliances: Collection[Appliance], pools: Collection[str], endpoints: Collection[str]
    ) -> Numbers:
        """Return the numbers with those of further appliances, and with those of exactly these pools and endpoints.

        A number follows from what has it. So if the file is lost, all or nearly all get the same numbers again.
        """
        keys = {each.key: each for each in (*self.appliances, *appliances)}
        known = {each.key: number for each, number in self.appliances.items()}
        return Numbers(
            {keys[key]: number for key, number in _numbered(known, keys).items()},
            _numbered({key: number for key, number in self.pools.items() if key in pools}, pools),
            _numbered({key: number for key, number in self.endpoints.items() if key in endpoints}, endpoints),
        )

    def without(self, gone: Collection[Appliance]) -> Numbers:
        """Return the numbers without those of some appliances."""
        kept = {each: number for each, number in self.appliances.items() if each not in gone}
        return Numbers(kept, self.pools, self.endpoints)


class NumberFile:
    """The file of one balancer directory. It need not survive a power cut, because flows do not."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "gateway-numbers.json"

    def read(self) -> Numbers:
        """Return the numbers. There are none if the file is missing or damaged."""
        try:
            found = json.loads(self._path.read_text())
            appliances = {Appliance(*each): int(number) for number, *each in found["appliances"]}
            return Numbers(appliances, dict(found["pools"]), dict(found["endpoints"]))
        except (OSError, ValueError, TypeError, KeyError):
            return Numbers()

    def write(self, numbers: Numbers) -> None:
        """Replace the file. Without it, the flows of appliances that are gone may be forgotten too early."""
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        appliances = [[number, *each] for each, number in numbers.appliances.items()]
        content = {"appliances": appliances, "pools": dict(numbers.pools), "endpoints": dict(numbers.endpoints)}
        try:
            draft.write_text(json.dumps(content))
            draft.replace(self._path)
        except OSError:
            with suppress(OSError):
                draft.unlink()

    def remove(self) -> None:
        """Delete the file."""
        with suppress(OSError):
            self._path.unlink()


def _numbered(known: Mapping[str, int], wanted: Iterable[str]) -> dict[str, int]:
    found = dict(known)
    used = set(known.values())
    for key in sorted(set(wanted) - known.keys()):
        number = int.from_bytes(blake2b(key.encode(), digest_size=4).digest()) % _COUNT + 1
        while number in used:
            number = number % _COUNT + 1
        found[key] = number
        used.add(number)
    return found
