"""CloudFormation's template language. Pure: no file, network or clock is used.

    template = Template.parse(text)
    evaluated = template.evaluate(parameters, pseudo, exports, zones)
    evaluated.resolve("Web", attributes)

All errors are `TemplateError`s with the messages of AWS. Values are plain JSON.
"""

from __future__ import annotations

from pipeline.stacks.template.declared import DeclaredResource, Output
from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.evaluated import Evaluated
from pipeline.stacks.template.pseudo import pseudo_parameters
from pipeline.stacks.template.reference import KNOWN_AFTER_APPLY, Attributes, Reference, Unknown
from pipeline.stacks.template.scope import Existing
from pipeline.stacks.template.template import PREVIOUS_VALUE, Template
from pipeline.stacks.template.values import JSON

__all__ = [
    "JSON",
    "KNOWN_AFTER_APPLY",
    "PREVIOUS_VALUE",
    "Attributes",
    "DeclaredResource",
    "Evaluated",
    "Existing",
    "Output",
    "Reference",
    "Template",
    "TemplateError",
    "Unknown",
    "pseudo_parameters",
]
