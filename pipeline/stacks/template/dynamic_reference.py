"""Dynamic references: `{{resolve:ssm:NAME:VERSION}}` in a property."""

from __future__ import annotations

import re

from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import Path

_BEGINNING = "{{resolve:"
_REFERENCE = re.compile(r"\{\{resolve:([^{}]*)\}\}")
_SSM = re.compile(r"ssm:([a-zA-Z0-9_.\-/]+(?::\d+)?)")
_NOT_OFFERED = ("ssm-secure", "secretsmanager")


def resolve_text(text: str, path: Path, scope: Scope) -> str:
    """Return text with the values of its dynamic references. Raises `TemplateError` if one has no value."""
    if _BEGINNING not in text:
        return text
    if text.count(_BEGINNING) != len(_REFERENCE.findall(text)):
        raise scope.error(f"Incorrect format is used in the following dynamic reference: {text}", path)
    return _REFERENCE.sub(lambda found: _value(found[1], path, scope), text)


def _value(reference: str, path: Path, scope: Scope) -> str:
    service = reference.partition(":")[0]
    if service in _NOT_OFFERED:
        hint = "pass the value as a parameter with NoEcho"
        raise scope.error(f"Template error: dynamic references to {service} are not supported", path, hint)
    if service != "ssm":
        raise scope.error(f"Template error: dynamic references have no service {service}", path, "use ssm")
    if (found := _SSM.fullmatch(reference)) is None:
        reason = f"Incorrect format is used in the following SSM reference: [{{{{resolve:{reference}}}}}]"
        raise scope.error(reason, path, "write {{resolve:ssm:NAME}} or {{resolve:ssm:NAME:VERSION}}")
    try:
        return scope.ssm(found[1])
    except KeyError:
        reason = f"Parameters: [{reference}] cannot be found."
        raise scope.error(reason, path, "`aws ssm put-parameter` makes it") from None
