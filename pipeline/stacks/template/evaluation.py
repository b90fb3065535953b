"""The evaluation of a template: from its parameters to the resources that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pipeline.stacks.template.conditions import evaluate_conditions
from pipeline.stacks.template.declared import DeclaredResource
from pipeline.stacks.template.dependencies import cycle_in, ordered
from pipeline.stacks.template.document import Document
from pipeline.stacks.template.evaluated import Evaluated, resolve
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.output import DeclaredOutput
from pipeline.stacks.template.parameter import Parameter
from pipeline.stacks.template.reference import nothing_known
from pipeline.stacks.template.resource import POLICIES, Resource, check_policy
from pipeline.stacks.template.rules import Rule
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Path


@dataclass(frozen=True)
class Sections:
    """The checked sections of a template."""

    document: Document
    parameters: Mapping[str, Parameter]
    conditions: Mapping[str, Expression]
    rules: tuple[Rule, ...]
    resources: Mapping[str, Resource]
    outputs: Mapping[str, DeclaredOutput]


def evaluate(sections: Sections, scope: Scope, texts: Mapping[str, str], resolved: Mapping[str, str]) -> Evaluated:
    """Return the evaluated template. `scope` has the parameters, and no conditions yet. Raises `TemplateError`."""
    for rule in sections.rules:
        rule.check(scope)
    conditions: dict[str, bool] = {}
    scope = replace(scope, conditions=conditions)
    evaluate_conditions(sections.conditions, scope, conditions)
    present = {
        name: resource
        for name, resource in sections.resources.items()
        if resource.condition is None or conditions[resource.condition]
    }
    scope = replace(scope, declared=frozenset(present))
    imports: set[str] = set()
    resources = _declared(present, scope, imports)
    depends_on = {name: resource.depends_on for name, resource in resources.items()}
    check_cycle(sections.document, depends_on)
    outputs = {
        name: output
        for name, output in sections.outputs.items()
        if output.condition is None or conditions[output.condition]
    }
    exports = _exports(outputs, scope, imports)
    return Evaluated(
        parameters=texts,
        no_echo=frozenset(name for name, parameter in sections.parameters.items() if parameter.no_echo),
        resolved=resolved,
        conditions=conditions,
        resources=resources,
        order=ordered(depends_on),
        imports=frozenset(imports),
        exports=exports,
        _scope=scope,
        _compiled=present,
        _outputs=outputs,
    )


def check_cycle(document: Document, depends_on: Mapping[str, tuple[str, ...]]) -> None:
    """Raise `TemplateError` if resources depend on one another."""
    if cycle := cycle_in(depends_on):
        reason = f"Circular dependency between resources: [{', '.join(cycle)}]"
        raise document.error(reason, ("Resources", cycle[0]))


def _declared(present: Mapping[str, Resource], scope: Scope, imports: set[str]) -> dict[str, DeclaredResource]:
    """Return the resources with their dependencies. Everything is evaluated once, so that mistakes are found early."""
    removed: list[tuple[str, Path]] = []
    declared: dict[str, DeclaredResource] = {}
    for name, resource in present.items():
        own = scope.fresh(nothing_known)
        resolve(resource.properties, own)
        others = resolve(resource.others, own)
        removed += [(needed, (*resource.path, "DependsOn")) for needed in resource.depends_on if needed not in present]
        removed += own.removed
        imports |= own.imports
        used = [reference.name for reference in own.references if reference.kind != "ParameterReference"]
        declared[name] = _resource(resource, others, (*resource.depends_on, *used), scope)
    _check_removed(scope, removed, "Resources")
    return declared


def _resource(
    resource: Resource, others: Mapping[str, JSON], depends_on: Iterable[str], scope: Scope
) -> DeclaredResource:
    policies = {key: str(others.get(key, "Delete")) for key in POLICIES}
    for key, policy in policies.items():
        check_policy(scope.document, resource.name, policy, key)
    line, column = scope.document.place(resource.path)
    properties = resource.node.get("Properties")
    return DeclaredResource(
        name=resource.name,
        type=resource.type,
        properties=properties if isinstance(properties, dict) else {},
        depends_on=tuple(dict.fromkeys(depends_on)),
        deletion_policy=policies["DeletionPolicy"],
        update_replace_policy=policies["UpdateReplacePolicy"],
        metadata=resource.node.get("Metadata"),
        creation_policy=others.get("CreationPolicy"),
        update_policy=others.get("UpdatePolicy"),
        line=line,
        column=column,
    )


def _exports(outputs: Mapping[str, DeclaredOutput], scope: Scope, imports: set[str]) -> dict[str, str]:
    """Return the name under which each exported output is exported. Checks the values of all outputs too."""
    own = scope.fresh(nothing_known)
    exports: dict[str, str] = {}
    for name, output in outputs.items():
        export = output.evaluate(own).export
        if export is not None and export in exports.values():
            raise scope.error(f"Template error: {export} is exported by several outputs", ("Outputs", name, "Export"))
        if export is not None:
            exports[name] = export
    _check_removed(scope, own.removed, "Outputs")
    imports |= own.imports
    return exports


def _check_removed(scope: Scope, removed: list[tuple[str, Path]], block: str) -> None:
    """Raise `TemplateError` for references to resources whose condition does not hold."""
    if removed:
        names = ", ".join(dict.fromkeys(name for name, _ in removed))
        reason = f"Unresolved resource dependencies [{names}] in the {block} block of the template"
        hint = "the condition of a resource does not hold; refer to it in Fn::If with the same condition"
        raise scope.error(f"Template format error: {reason}", removed[0][1], hint)
