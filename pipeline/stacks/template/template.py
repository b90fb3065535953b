"""A template as it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.conditions import compiled_conditions
from pipeline.stacks.template.document import Document
from pipeline.stacks.template.evaluated import Evaluated
from pipeline.stacks.template.evaluation import Sections, check_cycle, evaluate
from pipeline.stacks.template.functions import COMPILERS
from pipeline.stacks.template.mappings import checked_mappings
from pipeline.stacks.template.output import compiled_outputs
from pipeline.stacks.template.parameter import declared_parameter
from pipeline.stacks.template.parameters import PREVIOUS_VALUE, check_values, chosen_values, ssm_values
from pipeline.stacks.template.reader import read_template
from pipeline.stacks.template.reference import nothing_known
from pipeline.stacks.template.resource import compiled_resources
from pipeline.stacks.template.rules import compiled_rules
from pipeline.stacks.template.scope import Existing, Scope, no_parameter
from pipeline.stacks.template.section import LANGUAGE_EXTENSIONS, check_template, members, transforms
from pipeline.stacks.template.summary import summary
from pipeline.stacks.template.values import JSON, Value

__all__ = ["PREVIOUS_VALUE", "Template"]


@dataclass(frozen=True)
class Template:
    """A parsed template. All that can be wrong without knowing the values of the parameters is checked.

    `text` is the template as it was given, `body` its content with short tags as functions (`Fn::Sub`), as GetTemplate
    prints it. `warnings` are lines about what CloudFormation accepts too, but is probably not meant.
    """

    text: str
    body: Mapping[str, JSON]
    warnings: tuple[str, ...]
    _sections: Sections = field(repr=False)
    _mappings: Mapping[str, JSON] = field(repr=False)

    @classmethod
    def parse(cls, text: str, source: str = "template") -> Template:
        """Parse a template in JSON or YAML. `source` is the name of its file, for messages. Raises `TemplateError`."""
        document = read_template(text, source)
        check_template(document)
        mappings = checked_mappings(document)
        sections = _sections(document, mappings)
        return cls(text, document.data, document.warnings, sections, mappings)

    def evaluate(
        self,
        parameters: Mapping[str, object],
        pseudo: Mapping[str, JSON],
        exports: Mapping[str, str],
        zones: Sequence[str],
        *,
        previous: Mapping[str, str] | None = None,
        ssm: Callable[[str], str] = no_parameter,
        existing: Existing | None = None,
        checked: bool = False,
    ) -> Evaluated:
        """Return the template for the given values.

        `parameters` has text, lists with commas, or `PREVIOUS_VALUE`, by name. `pseudo` is the result of
        `pseudo_parameters`. `exports` are the values of all stacks' exports by name. `zones` are the names for
        Fn::GetAZs. `previous` are the parameters of the stack to be updated. `ssm` returns the value of an SSM
        parameter by `NAME` or `NAME:VERSION`, or raises `KeyError`; without it, no such parameter exists. `existing`
        knows the values of types such as `AWS::EC2::VPC::Id`; without it, they are not checked, and Rules cannot use
        their attributes. `checked`: these values were accepted before, so Rules are not checked again.

        Raises `TemplateError` for values that are missing, unknown or not allowed, for rules that fail, for exports
        that do not exist and for references to resources whose condition does not hold.
        """
        sections = replace(self._sections, rules=()) if checked else self._sections
        document = sections.document
        texts = chosen_values(document, sections.parameters, parameters, previous or {})
        check_values(document, sections.parameters, texts, existing)
        resolved = ssm_values(document, sections.parameters, texts, ssm)
        values: dict[str, Value] = {**pseudo}  # type: ignore[dict-item]
        types = {name: parameter.type for name, parameter in sections.parameters.items()}
        for name, parameter in sections.parameters.items():
            values[name] = parameter.value(resolved.get(name, texts[name]))  # type: ignore[assignment]
        scope = Scope(
            document=document,
            parameters=values,
            parameter_types=types,
            mappings=self._mappings,
            conditions={},
            declared=frozenset(),
            exports=exports,
            zones=tuple(zones),
            attributes=nothing_known,
            ssm=ssm,
            existing=existing,
        )
        return evaluate(sections, scope, texts, resolved)

    def summary(self) -> dict[str, JSON]:
        """Return what GetTemplateSummary answers: Parameters, ResourceTypes, Capabilities, Metadata, Version and so on.

        ValidateTemplate's answer has the keys Parameters, Description, Capabilities, CapabilitiesReason and
        DeclaredTransforms of it. In the Parameters of ValidateTemplate are no ParameterType and ParameterConstraints.
        """
        return summary(self._sections.document, self._sections.parameters, self._sections.resources)


def _sections(document: Document, mappings: Mapping[str, JSON]) -> Sections:
    resources = members(document, "Resources")
    if not resources:
        raise document.error("Template format error: At least one Resources member must be defined.", ("Resources",))
    parameters = {
        name: declared_parameter(document, name, node) for name, node in members(document, "Parameters").items()
    }
    conditions = members(document, "Conditions")
    compiler = Compiler(
        document=document,
        block="Conditions",
        parameters=parameters.keys(),
        conditions=conditions.keys(),
        resources=resources.keys(),
        mappings=mappings,
        functions=COMPILERS,
        extensions=LANGUAGE_EXTENSIONS in transforms(document),
    )
    sections = Sections(
        document=document,
        parameters=parameters,
        conditions=compiled_conditions(compiler, conditions),
        rules=compiled_rules(replace(compiler, block="Rules", unresolved=[]), members(document, "Rules")),
        resources=compiled_resources(replace(compiler, block="Resources", unresolved=[]), resources),
        outputs=compiled_outputs(replace(compiler, block="Outputs", unresolved=[]), members(document, "Outputs")),
    )
    check_cycle(document, {name: resource.certain_dependencies() for name, resource in sections.resources.items()})
    return sections
