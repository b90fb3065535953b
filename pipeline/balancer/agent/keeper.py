"""The interface of what an agent keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Keeper(Protocol):
    """A part of the kernel that is kept in agreement with what is wanted and with HAProxy's servers.

    For one thread. All methods raise `BalancerFault`, and may be repeated.
    """

    @property
    def pause(self) -> float:
        """The seconds after which `sync` is called again if nothing wakes the agent."""

    def sync(self) -> None:
        """Bring the kernel to the wanted state. On return, a target that is not admitted gets no new flows."""

    def is_wanted(self) -> bool:
        """Return whether there is a file of what is wanted."""

    def descriptors(self) -> tuple[int, ...]:
        """Return descriptors that are readable when another program may have changed what is kept."""

    def is_intact(self) -> bool:
        """Return whether the kernel is as the last `sync` left it."""

    def answer(self, request: Mapping[str, Any]) -> object:
        """Answer a request that the agent does not know itself. See `requests`.

        Raises `ValueError`, `TypeError` or `KeyError` if it is none.
        """

    def clear(self) -> None:
        """Remove what is kept from the kernel."""

    def close(self) -> None:
        """End what this process holds. The kernel goes on."""
