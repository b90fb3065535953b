"""The order of resources, and cycles in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush


def ordered(depends_on: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the names so that each follows all that it depends on, otherwise in the given order.

    Names in a cycle, and those that depend on one, are left out.
    """
    names = list(depends_on)
    index = {name: position for position, name in enumerate(names)}
    missing = {name: len(set(needed)) for name, needed in depends_on.items()}
    dependents: dict[str, list[str]] = {name: [] for name in names}
    for name, needed in depends_on.items():
        for other in set(needed):
            dependents[other].append(name)
    ready = [index[name] for name in names if not missing[name]]
    heapify(ready)
    result: list[str] = []
    while ready:
        name = names[heappop(ready)]
        result.append(name)
        for other in dependents[name]:
            missing[other] -= 1
            if not missing[other]:
                heappush(ready, index[other])
    return tuple(result)


def cycle_in(depends_on: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the names in or between cycles, in the given order. Empty if there is no cycle."""
    outside = set(ordered(depends_on))
    rest = {name: [other for other in needed if other not in outside] for name, needed in depends_on.items()}
    rest = {name: needed for name, needed in rest.items() if name not in outside}
    # What only depends on a cycle is found by the same order the other way round.
    reverse: dict[str, list[str]] = {name: [] for name in rest}
    for name, needed in rest.items():
        for other in needed:
            reverse[other].append(name)
    after = set(ordered(reverse))
    return tuple(name for name in rest if name not in after)
