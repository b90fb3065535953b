"""A template with its parameters: which resources there are, and what their properties mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.stacks.template.declared import DeclaredResource, Output
from pipeline.stacks.template.dynamic_reference import resolve_text
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.output import DeclaredOutput
from pipeline.stacks.template.reference import KNOWN_AFTER_APPLY, Attributes, Reference, nothing_known
from pipeline.stacks.template.resource import Resource
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Absent, Path, Value


@dataclass(frozen=True)
class Evaluated:
    """A template for given parameters. Parameters, conditions and rules are valid, and all references lead somewhere.

    `parameters` are the values as DescribeStacks prints them, without a mask: text, lists with commas. `no_echo` names
    those to print as `****`. `resolved` has the values of those that name a parameter of SSM. `conditions` has the
    value of each condition. `resources` and `order` have only the resources whose condition holds. `order` respects all
    dependencies, and otherwise follows the template. `imports` are the names of exports of other stacks that are used.
    `exports` maps each exported output to its export's name.
    """

    parameters: Mapping[str, str]
    no_echo: frozenset[str]
    resolved: Mapping[str, str]
    conditions: Mapping[str, bool]
    resources: Mapping[str, DeclaredResource]
    order: tuple[str, ...]
    imports: frozenset[str]
    exports: Mapping[str, str]
    _scope: Scope = field(repr=False)
    _compiled: Mapping[str, Resource] = field(repr=False)
    _outputs: Mapping[str, DeclaredOutput] = field(repr=False)

    def resolve(self, name: str, attributes: Attributes) -> dict[str, JSON]:
        """Return the properties of a resource without functions, as JSON.

        Properties that are AWS::NoValue are left out. A value that `attributes` does not know yet becomes
        `KNOWN_AFTER_APPLY`, together with the text that contains it. So an engine that asks only after all of
        `depends_on` exist never sees one. Values of parameters are text, also of type Number. Raises `TemplateError`,
        such as for an unknown attribute or for Fn::Select past the end of a list.
        """
        return resolve(self._compiled[name].properties, self._scope.fresh(attributes))

    def unresolved(self, name: str, attributes: Attributes) -> dict[str, tuple[Reference, ...]]:
        """Return for each property that depends on values not known yet the references that cause it.

        Keys are the names of properties, such as `LoadBalancerArn`.
        """
        found: dict[str, tuple[Reference, ...]] = {}
        for key, expression in self._compiled[name].properties.items():
            scope = self._scope.fresh(attributes)
            expression.evaluate(scope)
            if scope.unknown:
                found[key] = tuple(dict.fromkeys(scope.unknown))
        return found

    def references(self, name: str) -> dict[str, tuple[Reference, ...]]:
        """Return the references of each property to parameters and resources. Properties without any are left out."""
        found: dict[str, tuple[Reference, ...]] = {}
        for key, expression in self._compiled[name].properties.items():
            scope = self._scope.fresh(nothing_known)
            expression.evaluate(scope)
            if scope.references:
                found[key] = tuple(dict.fromkeys(scope.references))
        return found

    def outputs(self, attributes: Attributes) -> dict[str, Output]:
        """Return the outputs whose condition holds, by name. Raises `TemplateError` if a value is not text."""
        scope = self._scope.fresh(attributes)
        return {name: output.evaluate(scope) for name, output in self._outputs.items()}


def resolve(properties: Mapping[str, Expression], scope: Scope) -> dict[str, JSON]:
    """Return the values of properties. Raises `TemplateError`, also for dynamic references without a value."""
    resolved: dict[str, JSON] = {}
    for key, expression in properties.items():
        value = expression.evaluate(scope)
        if value is not Absent.NO_VALUE:
            resolved[key] = _plain(value, expression.path, scope)
    return resolved


def _plain(value: Value, path: Path, scope: Scope) -> JSON:
    if isinstance(value, list):
        return [_plain(item, path, scope) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, path, scope) for key, item in value.items()}
    if isinstance(value, str):
        return resolve_text(value, path, scope)
    return KNOWN_AFTER_APPLY if isinstance(value, Absent) else value
