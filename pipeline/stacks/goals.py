"""From what a user asks for to the goal of a stack: the template with its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

from pipeline.stacks.error import StackError
from pipeline.stacks.records import Goal, Stack
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.store import StackStore
from pipeline.stacks.template import JSON, PREVIOUS_VALUE, Evaluated, Existing, Template, pseudo_parameters

SsmParameters = Callable[[str, str], str]
_IMPLIED = {"CAPABILITY_NAMED_IAM": {"CAPABILITY_NAMED_IAM", "CAPABILITY_IAM"}}


@dataclass(frozen=True)
class StackRequest:
    """What a user wants a stack to be.

    `template` is None for the present one. `parameters` has values or `PREVIOUS_VALUE`. `tags` is None for the present
    ones. `source` is the name of the template's file in messages, `folder` the folder of nested templates. Without
    `capabilities`, none are asked for. With `keep_parameters`, parameters that are not given keep their present values.
    """

    template: str | None
    parameters: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] | None = None
    capabilities: Sequence[str] | None = None
    ignore_unknown: bool = False
    source: str = "template"
    folder: str | None = None
    keep_parameters: bool = False


def no_parameters(owner: str, name: str) -> str:  # noqa: ARG001
    """Raise `KeyError`: SSM has no parameters."""
    raise KeyError(name)


@dataclass(frozen=True)
class Goals:
    """Evaluates templates for the stacks of a home. Safe to use from any thread.

    `parameters` returns the value of a parameter of SSM, by its owner and `NAME` or `NAME:VERSION`. It raises
    `KeyError` if there is none.
    """

    store: StackStore
    types: ResourceTypes
    zones: Sequence[str]
    parameters: SsmParameters = no_parameters
    existing: Callable[[str], Existing | None] = lambda _: None
    """What an owner has outside of stacks, for parameters such as the id of a VPC."""

    def evaluate(self, stack: Stack, goal: Goal | None = None) -> Evaluated:
        """Return a goal of a stack, else its present one, with all values that are known before its resources are."""
        goal = goal or stack.goal
        # What the parameters name may be gone since.
        return self._evaluate(stack, parsed(goal.template), goal.parameters, {**goal.ssm}, checked=True)

    def goal(self, stack: Stack, request: StackRequest) -> tuple[Goal, Evaluated]:
        """Return the goal for a request, and its template with all values. `stack.goal` is the former one.

        Raises `TemplateError` and `StackError`.
        """
        text = stack.goal.template if request.template is None else request.template
        template = parsed(text, request.source)
        summary = template.summary()
        parameters = dict(request.parameters)
        if request.keep_parameters:
            kept = stack.goal.parameters.keys() & _declared(summary)
            parameters = {**dict.fromkeys(sorted(kept), PREVIOUS_VALUE), **parameters}
        ssm: dict[str, str] = {}
        existing = self.existing(stack.owner)
        evaluated = self._evaluate(stack, template, parameters, ssm, previous=stack.goal.parameters, existing=existing)
        if not request.ignore_unknown:
            self.types.check([resource.type for resource in evaluated.resources.values()])
        for resource in evaluated.resources.values():
            _check_policies(resource.name, resource.deletion_policy, resource.update_replace_policy)
        if request.capabilities is not None:
            _check_capabilities(summary.get("Capabilities", []), request.capabilities)
        description = summary.get("Description")
        goal = Goal(
            text,
            dict(evaluated.parameters),
            tuple(sorted(evaluated.no_echo)),
            dict(stack.goal.tags if request.tags is None else request.tags),
            tuple(request.capabilities or ()),
            description if isinstance(description, str) else None,
            request.folder or (stack.goal.folder if request.template is None else None),
            request.ignore_unknown,
            dict(evaluated.resolved),
            ssm,
        )
        return goal, evaluated

    def _evaluate(
        self,
        stack: Stack,
        template: Template,
        parameters: Mapping[str, object],
        ssm: dict[str, str],
        **options: Any,
    ) -> Evaluated:
        """Return a template with its values. Adds to `ssm` the values that are not in it yet."""

        def ask(name: str) -> str:
            if name not in ssm:
                ssm[name] = self._parameter(stack.owner, name)
            return ssm[name]

        account = stack.id.split(":")[4]
        pseudo = pseudo_parameters(account=account, region=stack.region, stack_name=stack.name, stack_id=stack.id)
        exports = {name: value for name, value, owner in self.store.exports(stack.owner) if owner != stack.id}
        return template.evaluate(parameters, pseudo, exports, self.zones, ssm=ask, **options)

    def _parameter(self, owner: str, name: str) -> str:
        try:
            return self.parameters(owner, name)
        except KeyError:
            return _public_image(name)


def _public_image(name: str) -> str:
    """Return the id that stands for an image of AWS, by the name of its public SSM parameter. Raises `KeyError`.

    Nothing here starts images of machines. Without an id, a template that has one beside other resources is refused.
    """
    if not name.startswith("/aws/service/") or "ami" not in name:
        raise KeyError(name)
    return f"ami-{sha256(name.encode()).hexdigest()[:17]}"


@lru_cache(maxsize=64)
def parsed(text: str, source: str = "template") -> Template:
    """Return a template, which several steps of an operation need. Raises `TemplateError`."""
    return Template.parse(text, source)


def _declared(summary: Mapping[str, JSON]) -> set[str]:
    parameters = summary["Parameters"]
    assert isinstance(parameters, list)
    return {str(parameter["ParameterKey"]) for parameter in parameters if isinstance(parameter, dict)}


def _check_policies(name: str, *policies: str) -> None:
    if "Snapshot" in policies:
        raise StackError(
            f"Template error: the policy Snapshot of resource {name} is not supported: nothing has snapshots",
            hint="write Retain or Delete",
        )


def _check_capabilities(needed: object, given: Sequence[str]) -> None:
    assert isinstance(needed, list)
    granted = {name for capability in given for name in _IMPLIED.get(capability, {capability})}
    if missing := [str(name) for name in needed if name not in granted]:
        raise StackError(f"Requires capabilities : [{', '.join(missing)}]", code="InsufficientCapabilitiesException")
