"""Ref and Fn::GetAtt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.pseudo import NO_VALUE, PSEUDO_PARAMETERS
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Absent, Path, Value, scalar_text

_GETATT = (
    "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource "
    "attribute"
)
# What AWS::LanguageExtensions allows in Ref and Fn::GetAtt.
_EXTENDED = ("Ref", "Fn::Base64", "Fn::FindInMap", "Fn::If", "Fn::Join", "Fn::Sub", "Fn::ToJsonString")


@dataclass(frozen=True)
class ParameterRef(Expression):
    """The value of a parameter or pseudo parameter."""

    name: str

    def evaluate(self, scope: Scope) -> Value:
        return Absent.NO_VALUE if self.name == NO_VALUE else scope.parameter(self.name)


@dataclass(frozen=True)
class ResourceRef(Expression):
    """The `Ref` of a resource, or one of its attributes."""

    name: str
    attribute: Expression | None

    def evaluate(self, scope: Scope) -> Value:
        if self.attribute is None:
            return scope.resource(self.name, None, self.path)
        attribute = self.attribute.evaluate(scope)
        if not isinstance(attribute, str) or not attribute:
            raise scope.error(_GETATT, self.path)
        return scope.resource(self.name, attribute, self.path)

    def parts(self) -> Iterable[Expression]:
        return () if self.attribute is None else (self.attribute,)


@dataclass(frozen=True)
class ComputedRef(Expression):
    """A Ref or Fn::GetAtt whose name is the result of a function. AWS::LanguageExtensions allows it."""

    compiler: Compiler
    name: Expression
    attribute: Expression | None

    def evaluate(self, scope: Scope) -> Value:
        name = scalar_text(self.name.evaluate(scope))
        found = None if name is None else reference(self.compiler, name, self.attribute, self.path)
        if found is None:
            block = self.compiler.block
            reason = (
                f"Template format error: Unresolved resource dependencies [{name}] in the {block} block of the template"
            )
            raise scope.error(reason, self.path)
        return found.evaluate(scope)

    def parts(self) -> Iterable[Expression]:
        return (self.name,) if self.attribute is None else (self.name, self.attribute)


def reference(compiler: Compiler, name: str, attribute: Expression | None, path: Path) -> Expression | None:
    """Return the expression for a name, or None if nothing has it."""
    if attribute is None and (name in compiler.parameters or name in PSEUDO_PARAMETERS):
        return ParameterRef(path, name)
    return ResourceRef(path, name, attribute) if name in compiler.resources else None


def ref(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if isinstance(argument, dict) and compiler.extensions:
        return ComputedRef(path, compiler, compiler.limited(*_EXTENDED).value(argument, path), None)
    if not isinstance(argument, str) or not argument:
        raise compiler.error("Template error: every Ref object must have a single String value.", path)
    found = reference(compiler, argument, None, path)
    if found is not None and (compiler.block in ("Resources", "Outputs") or isinstance(found, ParameterRef)):
        return found
    compiler.unresolved.append((argument, path))
    return ResourceRef(path, argument, None)


def get_att(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if isinstance(argument, str):
        argument = [*argument.split(".", 1)]
    if not isinstance(argument, list) or len(argument) < 2 or not all(argument):
        raise compiler.error(_GETATT, path, "write NAME.ATTRIBUTE")
    name, *rest = argument
    # [Nested, Outputs, Url] means the same as [Nested, Outputs.Url].
    joined = ".".join(map(str, rest)) if all(isinstance(part, str) for part in rest) else rest[0]
    functions = _EXTENDED if compiler.extensions else ("Ref",)
    if not isinstance(joined, str | dict):
        raise compiler.error(_GETATT, path, "write NAME.ATTRIBUTE")
    attribute = compiler.limited(*functions).value(joined, (*path, 1))
    if isinstance(name, dict) and compiler.extensions:
        return ComputedRef(path, compiler, compiler.limited(*_EXTENDED).value(name, (*path, 0)), attribute)
    if not isinstance(name, str):
        raise compiler.error(_GETATT, path, "write NAME.ATTRIBUTE")
    if name not in compiler.resources:
        raise compiler.error(f"Template error: instance of Fn::GetAtt references undefined resource {name}", path)
    return ResourceRef(path, name, attribute)


COMPILERS = {"Ref": ref, "Fn::GetAtt": get_att}
