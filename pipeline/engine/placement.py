"""The choice of a host for a replica. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Placement(StrEnum):
    """The policy. `spread` keeps zones, then hosts, equally full. `pack` uses the first host that is not lost."""

    SPREAD = "spread"
    PACK = "pack"


@dataclass(frozen=True)
class Candidate:
    """A host that replicas may be placed on. `equal` counts the replicas of the same template there, `all` every one.

    `is_lost`: it gets none.
    """

    name: str
    zone: str
    equal: int = 0
    all: int = 0
    is_lost: bool = False


def choose_host(candidates: Sequence[Candidate], policy: Placement, zone: str | None = None) -> str | None:
    """Return the host of the next replica, or None if every host is lost or in another zone than `zone`.

    With `spread`, it is a host of the zone with the fewest equal replicas, and there the one with the fewest. So the
    replicas of a new release are spread whatever the former one leaves. Among equals, the fewest replicas of any
    template decide, then the order. Replicas on lost hosts do not count.
    """
    usable = [each for each in candidates if not each.is_lost and zone in (None, each.zone)]
    if not usable:
        return None
    if policy is Placement.PACK:
        return usable[0].name
    in_zone = Counter[str]()
    for each in usable:
        in_zone[each.zone] += each.equal
    return min(usable, key=lambda each: (in_zone[each.zone], each.equal, each.all)).name
