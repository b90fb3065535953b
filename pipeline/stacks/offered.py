"""The resource types that are offered, and the stacks of a home."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pipeline.base.home import Home
from pipeline.network.zones import DEFAULT_ZONES, Zone
from pipeline.stacks.providers import nested_stack, wait_condition_handle
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.stacks import Stacks


def offered_types(stacks: Stacks) -> ResourceTypes:
    """Return all types. A provider is made for each stack that uses its type."""
    return ResourceTypes(
        {
            nested_stack.TYPE: partial(nested_stack.NestedStack, stacks),
            wait_condition_handle.TYPE: wait_condition_handle.WaitConditionHandle,
        }
    )


def open_stacks(home: Home, zones: Sequence[Zone] = DEFAULT_ZONES) -> Stacks:
    """Return the stacks of a home. Close them at the end: what they do then is suspended."""
    return Stacks(home.database, home.locks / "stacks", offered_types, [zone.name for zone in zones])
