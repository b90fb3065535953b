"""A template as it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pipeline.stacks.template.evaluated import Evaluated
from pipeline.stacks.template.values import JSON

PREVIOUS_VALUE: Final = object()
"""Given in place of a parameter's value: `UsePreviousValue=true`."""


class Template:
    """A parsed template. All that can be wrong without knowing the values of the parameters is checked.

    `text` is the template as it was given, `body` its content with short tags as functions (`Fn::Sub`), as GetTemplate
    prints it.
    """

    text: str
    body: Mapping[str, JSON]

    @classmethod
    def parse(cls, text: str, source: str = "template") -> Template:
        """Parse a template in JSON or YAML. `source` is the name of its file, for messages. Raises `TemplateError`."""
        raise NotImplementedError

    def evaluate(
        self,
        parameters: Mapping[str, object],
        pseudo: Mapping[str, JSON],
        exports: Mapping[str, str],
        zones: Sequence[str],
        *,
        previous: Mapping[str, str] | None = None,
        ssm: Callable[[str], str] | None = None,
        parameter_attribute: Callable[[str, str, str], str] | None = None,
    ) -> Evaluated:
        """Return the template for the given values.

        `parameters` has text, lists with commas, or `PREVIOUS_VALUE`, by name. `pseudo` is the result of
        `pseudo_parameters`. `exports` are the exports of all stacks by their names. `zones` are the names for
        Fn::GetAZs. `previous` are the parameters of the stack to be updated. `ssm` returns the value of an SSM
        parameter by its name; without it, such parameters are refused. `parameter_attribute` returns the attribute of
        a resource for Fn::ValueOf: by type of the parameter, value and attribute.

        Raises `TemplateError` for values that are missing, unknown or not allowed, for rules that fail, for exports
        that do not exist and for references to resources whose condition does not hold.
        """
        raise NotImplementedError

    def summary(self) -> dict[str, JSON]:
        """Return what GetTemplateSummary answers: Parameters, ResourceTypes, Capabilities, Metadata, Version and so on.

        ValidateTemplate's answer has the keys Parameters, Description, Capabilities, CapabilitiesReason and
        DeclaredTransforms of it. In the Parameters of ValidateTemplate are no ParameterType and ParameterConstraints.
        """
        raise NotImplementedError
