"""What all resources of a balancer have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Annotated, ClassVar, Self

from pydantic import Field, JsonValue

from pipeline.balancer.model import Model

DECLARED = "pipeline.yaml"
"""The maker of the resources of a declaration."""

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


@lru_cache(maxsize=8192)
def declared_id(owner: str, kind: str, *names: str | int) -> str:
    """Return the id of a declared resource. The same names give the same id."""
    return hashlib.sha256("\0".join([owner, kind, *map(str, names)]).encode()).hexdigest()[:16]


class BalancerResource(Model, ABC):
    """A resource with an identity.

    `id`: 16 hex digits. `made_by`: `pipeline.yaml`, `api` or `stack/NAME`. A maker replaces only its own resources.
    `revision` counts changes from 1. In a change, it is the revision that is changed, or 0 for any. `kept` is for the
    maker: what it stores with the resource, and the balancer does not interpret.
    """

    kind: ClassVar[str]
    field: ClassVar[str]

    id: Id
    owner: str
    made_by: str = DECLARED
    tags: dict[str, str] = Field({})
    kept: dict[str, JsonValue] = Field({})
    revision: int = 0

    @property
    @abstractmethod
    def key(self) -> tuple[object, ...]:
        """The key that is unique among the resources of one kind and owner."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The description of the resource, for messages."""

    def requires(self) -> frozenset[str]:
        """Return the ids of the resources that it needs."""
        return frozenset()

    def at_revision(self, revision: int) -> Self:
        """Return the resource with another revision."""
        return self if revision == self.revision else self.model_copy(update={"revision": revision})

    def bare(self) -> Self:
        """Return the resource without the fields that the registry sets."""
        return self.at_revision(0)
