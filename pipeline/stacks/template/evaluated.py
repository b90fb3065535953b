"""A template with its parameters: which resources there are, and what their properties mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.stacks.template.declared import DeclaredResource, Output
from pipeline.stacks.template.reference import Attributes, Reference
from pipeline.stacks.template.values import JSON


@dataclass(frozen=True)
class Evaluated:
    """A template for given parameters. Parameters, conditions and rules are valid, and all references lead somewhere.

    `parameters` are the values as DescribeStacks prints them, without a mask: text, lists with commas. `no_echo` names
    those to print as `****`. `conditions` has the value of each condition. `resources` and `order` have only the
    resources whose condition holds. `order` respects all dependencies, and otherwise follows the template. `imports`
    are the names of exports of other stacks that are used. `exports` maps each exported output to its export's name.
    """

    parameters: Mapping[str, str]
    no_echo: frozenset[str]
    conditions: Mapping[str, bool]
    resources: Mapping[str, DeclaredResource]
    order: tuple[str, ...]
    imports: frozenset[str]
    exports: Mapping[str, str]

    def resolve(self, name: str, attributes: Attributes) -> dict[str, JSON]:
        """Return the properties of a resource without functions, as JSON.

        Properties that are AWS::NoValue are left out. A value that `attributes` does not know yet becomes
        `KNOWN_AFTER_APPLY`, together with the text that contains it. So an engine that asks only after all of
        `depends_on` exist never sees one. Values of parameters are text, also of type Number. Raises `TemplateError`,
        such as for an unknown attribute or for Fn::Select past the end of a list.
        """
        raise NotImplementedError

    def unresolved(self, name: str, attributes: Attributes) -> dict[str, tuple[Reference, ...]]:
        """Return for each property that depends on values not known yet the references that cause it.

        Keys are the names of properties, such as `LoadBalancerArn`.
        """
        raise NotImplementedError

    def references(self, name: str) -> dict[str, tuple[Reference, ...]]:
        """Return the references of each property to parameters and resources. Properties without any are left out."""
        raise NotImplementedError

    def outputs(self, attributes: Attributes) -> dict[str, Output]:
        """Return the outputs whose condition holds, by name. Raises `TemplateError` if a value is not text."""
        raise NotImplementedError
