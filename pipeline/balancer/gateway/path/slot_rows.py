"""The slots of pools in the kernel: each pool has a row of them, and gets another row when they change."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.balancer.gateway.path.bpf import Map
from pipeline.balancer.gateway.path.records import NUMBER
from pipeline.base.errors import BalancerFault

_ROW = 4096


class SlotRows:
    """Writes slots to a row that no pool uses, so that a packet sees all of the former ones or all of the new ones."""

    def __init__(self, slots: Map) -> None:
        self._slots = slots
        self._count = slots.shape.entries // _ROW
        self._written = dict[int, tuple[int, ...]]()

    def write(self, slots: tuple[int, ...], current: int | None, used: Iterable[int]) -> int:
        """Write slots and return the number of the first. `current`: that of the pool. `used`: those of all pools."""
        if current is not None and self._written.get(current) == slots:
            return current
        if len(slots) > _ROW:
            raise BalancerFault(f"gateway: {len(slots)} slots of a pool are more than {_ROW}")
        taken = {first // _ROW for first in used}
        row = next((row for row in range(self._count) if row not in taken), None)
        if row is None:
            raise BalancerFault(f"gateway: there are more than {self._count - 1} pools")
        self._slots.put_row(row * _ROW, [NUMBER.pack(target) for target in slots])
        self._written[row * _ROW] = slots
        return row * _ROW
