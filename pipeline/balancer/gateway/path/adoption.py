"""The maps of a path that another process has loaded, found by the programs that are attached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.balancer.gateway.path.bpf import Map, MapShape, maps_of


def attached_maps(programs: Iterable[int]) -> dict[str, Map]:
    """Return the maps of programs by name. `programs`: their numbers. Raises `OSError`; needs CAP_SYS_ADMIN."""
    numbers = {number for program in programs for number in maps_of(program)}
    # The youngest, where a crash has left two versions attached.
    return dict(Map.of(number) for number in sorted(numbers))


def adopted(shapes: Mapping[str, MapShape], found: Mapping[str, Map]) -> dict[str, Map]:
    """Return maps of these shapes: those that were found, and new ones with a copy of what was found or empty."""
    maps = dict[str, Map]()
    for name, shape in shapes.items():
        former = found.get(name)
        if former is not None and former.shape == shape:
            maps[name] = former
        else:
            maps[name] = Map.create(name, shape)
            copy_missing(former, maps[name])
    return maps


def copy_missing(former: Map | None, new: Map) -> None:
    """Copy the entries whose keys the new map has not, of an array all that it has room for.

    Those of another size mean something else: they are left.
    """
    if former is None or (former.shape.key, former.shape.value) != (new.shape.key, new.shape.value):
        return
    if former.is_array:
        new.put_row(0, [value for _, value in former.batches()][: new.shape.entries])
        return
    for key, value in former.items():
        new.add(key, value)
