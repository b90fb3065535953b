"""What expressions are evaluated with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pipeline.stacks.template.document import Document
from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.reference import Attributes, Reference, Unknown
from pipeline.stacks.template.values import JSON, Absent, Path, Value


class Existing(Protocol):
    """What exists outside of the stack, for parameters of types such as `AWS::EC2::VPC::Id`, and for Rules."""

    def all(self, type_: str) -> Sequence[str] | None:
        """Return all values of a parameter's type, or None if nothing is known of it."""

    def attribute(self, type_: str, value: str, attribute: str) -> str:
        """Return an attribute, such as `VpcId` of a subnet. Raises `KeyError` if it does not exist."""


def no_parameter(name: str) -> str:
    """Raise `KeyError`: SSM has no parameters."""
    raise KeyError(name)


@dataclass(frozen=True)
class Scope:
    """The values of names. `declared` are the resources whose condition holds.

    Evaluation adds to `references`, in their order; to `unknown` those of them without a value yet; to `removed` the
    names of resources whose condition does not hold; to `imports` the names of exports. `ssm` returns the value of a
    parameter of SSM, or raises `KeyError`.
    """

    document: Document
    parameters: Mapping[str, Value]
    parameter_types: Mapping[str, str]
    mappings: Mapping[str, JSON]
    conditions: Mapping[str, bool]
    declared: Collection[str]
    exports: Mapping[str, str]
    zones: tuple[str, ...]
    attributes: Attributes
    ssm: Callable[[str], str] = no_parameter
    existing: Existing | None = None
    references: list[Reference] = field(default_factory=list)
    unknown: list[Reference] = field(default_factory=list)
    removed: list[tuple[str, Path]] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)

    def fresh(self, attributes: Attributes) -> Scope:
        """Return a scope with other attributes, in which nothing is recorded yet."""
        return replace(self, attributes=attributes, references=[], unknown=[], removed=[], imports=set())

    def parameter(self, name: str) -> Value:
        """Return the value of a parameter or pseudo parameter."""
        if "::" not in name:
            self.references.append(Reference("ParameterReference", name))
        return self.parameters[name]

    def resource(self, name: str, attribute: str | None, path: Path) -> Value:
        """Return the `Ref` or an attribute of a resource. Raises `TemplateError` for an unknown attribute."""
        if name not in self.declared:
            self.removed.append((name, path))
            return Absent.UNKNOWN
        kind = Reference("ResourceReference", name)
        reference = kind if attribute is None else Reference("ResourceAttribute", name, attribute)
        self.references.append(reference)
        try:
            return self.attributes(name, attribute)  # type: ignore[return-value]
        except Unknown:
            self.unknown.append(reference)
            return Absent.UNKNOWN
        except KeyError:
            reason = f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
            raise self.error(reason, path) from None

    def error(self, reason: str, path: Path, hint: str = "") -> TemplateError:
        """Return an error at the place of `path`."""
        return self.document.error(reason, path, hint)
