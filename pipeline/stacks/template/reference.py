"""References of a template to parameters and resources, and how values of resources are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn

from pipeline.stacks.template.values import JSON

KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
"""What AWS's change sets print for a value that does not exist yet."""


class Unknown(Exception):
    """Raised by `Attributes` for a value that does not exist yet."""


Attributes = Callable[[str, str | None], JSON]
"""Return an attribute of a resource by the resource's logical name. None as attribute is its `Ref`.

Raises `Unknown` if the value does not exist yet. Raises `KeyError` if the type has no such attribute.
"""


def nothing_known(_name: str, _attribute: str | None) -> NoReturn:
    """The attributes while no resource exists."""
    raise Unknown


@dataclass(frozen=True, order=True)
class Reference:
    """One use of a parameter or resource. `attribute` is set for Fn::GetAtt only.

    `kind` is the `ChangeSource` of a change set: what a change of the property is caused by. `entity` is its
    `CausingEntity`.
    """

    kind: Literal["ParameterReference", "ResourceReference", "ResourceAttribute"]
    name: str
    attribute: str = ""

    @property
    def entity(self) -> str:
        """Return `NAME`, or `NAME.ATTRIBUTE` for Fn::GetAtt."""
        return f"{self.name}.{self.attribute}" if self.attribute else self.name
