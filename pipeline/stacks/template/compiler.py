"""From plain data to expressions: every function is known, allowed at its place, and of the right shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pipeline.stacks.template.document import Document
from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.expression import Expression, Items, Literal, Members
from pipeline.stacks.template.values import JSON, Path

SUPPORTED = (
    "Fn::Base64, Fn::GetAtt, Fn::GetAZs, Fn::ImportValue, Fn::Join, Fn::Split, Fn::FindInMap, Fn::Select, Ref, "
    "Fn::Equals, Fn::If, Fn::Not, Condition, Fn::And, Fn::Or, Fn::Contains, Fn::EachMemberEquals, Fn::EachMemberIn, "
    "Fn::ValueOf, Fn::ValueOfAll, Fn::RefAll, Fn::Sub, Fn::Cidr"
)
LOGIC = frozenset({"Condition", "Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or"})
RULES = frozenset(
    {"Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn", "Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll"}
)
EXTENSIONS = frozenset({"Fn::Length", "Fn::ToJsonString"})
"""Functions that need `Transform: AWS::LanguageExtensions`."""
_IN_CONDITIONS = LOGIC | EXTENSIONS | {"Ref", "Fn::FindInMap", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::Sub"}
_IN_RULES = RULES | (LOGIC - {"Condition"}) | {"Ref"}

Compile: TypeAlias = "Callable[[Compiler, JSON, Path], Expression]"
"""Checks the argument of a function and returns its expression. Raises `TemplateError`."""


@dataclass(frozen=True)
class Compiler:
    """Compiles the values of one block of a template.

    `functions` are all there are. `block` is `Resources`, `Outputs`, `Conditions` or `Rules`. `only` limits the
    functions further. Names of resources that do not exist are added to `unresolved`, since AWS reports them together.
    """

    document: Document
    block: str
    parameters: Collection[str]
    conditions: Collection[str]
    resources: Collection[str]
    mappings: Mapping[str, JSON]
    functions: Mapping[str, Compile]
    extensions: bool = False
    only: frozenset[str] | None = None
    unresolved: list[tuple[str, Path]] = field(default_factory=list)

    def value(self, node: JSON, path: Path) -> Expression:
        """Return the expression for a value. Raises `TemplateError`."""
        if isinstance(node, dict):
            if (name := self.function(node, path)) is not None:
                return self.functions[name](self, node[name], (*path, name))
            return Members(path, tuple((key, self.value(item, (*path, key))) for key, item in node.items()))
        if isinstance(node, list):
            return Items(path, tuple(self.value(item, (*path, index)) for index, item in enumerate(node)))
        assert node is not None
        return Literal(path, node)

    def function(self, node: dict[str, JSON], path: Path) -> str | None:
        """Return the function that an object calls, or None if it is plain data. Raises `TemplateError`."""
        names = [name for name in node if self._is_function(name)]
        if not names or (names == ["Ref"] and len(node) > 1):
            return None
        name, here = names[0], (*path, names[0])
        if name.startswith("Fn::ForEach::"):
            raise self.error("Template error: Fn::ForEach is not supported", here, "write its results out")
        if name in ("Fn::Transform", "Fn::GetStackOutput"):
            raise self.error(f"Template error: {name} is not supported", here, "write its result out")
        if name not in self.functions:
            reason = f"Template Error: Encountered unsupported function: {name} Supported functions are: [{SUPPORTED}]"
            raise self.error(reason, here)
        if len(node) > 1:
            raise self.error(f"Template error: {name} must be the only key of its object", here)
        self._check_place(name, here)
        return name

    def limited(self, *names: str) -> Compiler:
        """Return a compiler that allows these functions only."""
        return replace(self, only=frozenset(names))

    def error(self, reason: str, path: Path, hint: str = "") -> TemplateError:
        """Return an error at the place of `path`."""
        return self.document.error(reason, path, hint)

    def _is_function(self, name: str) -> bool:
        # In policies of IAM, Condition is a key as any other.
        if name == "Condition":
            return self.block in ("Conditions", "Rules")
        return name == "Ref" or re.match("fn::", name, re.IGNORECASE) is not None

    def _check_place(self, name: str, path: Path) -> None:
        if name in EXTENSIONS and not self.extensions:
            reason = f"Template Error: Encountered unsupported function: {name} Supported functions are: [{SUPPORTED}]"
            raise self.error(reason, path, "add `Transform: AWS::LanguageExtensions`")
        if self.block == "Conditions" and name not in _IN_CONDITIONS:
            raise self.error(f"Template error: Cannot use {name} in Conditions.", path)
        if self.block == "Rules" and name not in _IN_RULES:
            raise self.error(f"Template error: Cannot use {name} in Rules.", path)
        if self.block not in ("Conditions", "Rules") and name in LOGIC | RULES:
            hint = "declare a condition, and use it in Fn::If" if name in LOGIC else "use it in Rules"
            raise self.error(f"Template error: {name} cannot be partially collapsed", path, hint)
        if self.only is not None and name not in self.only:
            raise self.error(f"Template error: {name} is not allowed here", path, f"allowed: {_listed(self.only)}")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "no function"
