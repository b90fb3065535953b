"""The choice of a target for a new flow: the slots of a pool, as in the hash tables of Maglev. Pure.

A flow takes the slot that its hash names. Every target has the same number of slots, or one more, so it gets the same
share of flows. When one leaves or comes, few slots of the others change hands.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

SLOTS = 4093
"""A prime, so that the steps of each target visit every slot. The shares of 40 targets differ by less than 1 %."""


def slot_table(targets: Mapping[int, str]) -> tuple[int, ...]:
    """Return the target's number in each slot. Empty without targets.

    `targets`: numbers, each with the target's id. The same ids give the same slots, whatever their numbers.
    """
    if not targets:
        return ()
    slots = [0] * SLOTS
    preferences = [(number, *_start_and_step(key)) for number, key in sorted(targets.items(), key=lambda each: each[1])]
    free = SLOTS
    while True:
        for index, (number, slot, step) in enumerate(preferences):
            # Each target in turn takes the first free slot of its own order.
            while slots[slot]:
                slot = (slot + step) % SLOTS
            slots[slot] = number
            free -= 1
            if not free:
                return tuple(slots)
            preferences[index] = number, slot, step


def _start_and_step(key: str) -> tuple[int, int]:
    digest = blake2b(key.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]) % SLOTS, int.from_bytes(digest[8:]) % (SLOTS - 1) + 1
