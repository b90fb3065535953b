"""Checks that all sections of a template share: their shape, their size and the names in them."""

from __future__ import annotations

import re
from collections.abc import Collection

from pipeline.stacks.template.document import Document
from pipeline.stacks.template.values import JSON, Path, slashed

SECTIONS = frozenset(
    {
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
        "Rules",
        "Transform",
    }
)
VERSION = "2010-09-09"
LANGUAGE_EXTENSIONS = "AWS::LanguageExtensions"
MAX_DESCRIPTION = 1024
MAX_NAME = 255
_LIMITS = {"Parameters": 200, "Mappings": 200, "Resources": 500, "Outputs": 200}
_ALPHANUMERIC = re.compile("[A-Za-z0-9]+")


def check_template(document: Document) -> None:
    """Raise `TemplateError` for unknown sections, and for a version, description or transform that is not supported."""
    unknown = [name for name in document.data if name not in SECTIONS]
    if unknown:
        raise document.error(f"Invalid template property or properties [{', '.join(unknown)}]", (unknown[0],))
    version = document.data.get("AWSTemplateFormatVersion", VERSION)
    if version != VERSION:
        reason = f"Template format error: {version} is not a supported value for AWSTemplateFormatVersion."
        raise document.error(reason, ("AWSTemplateFormatVersion",), f"write {VERSION}")
    check_description(document, document.data.get("Description", ""), ("Description",))
    members(document, "Metadata")
    transforms(document)


def transforms(document: Document) -> tuple[str, ...]:
    """Return the transforms of a template. Raises `TemplateError` for all but AWS::LanguageExtensions."""
    given = document.data.get("Transform", [])
    names = given if isinstance(given, list) else [given]
    for name in names:
        if name != LANGUAGE_EXTENSIONS:
            shown = name.get("Name", "") if isinstance(name, dict) else name
            hint = "apply it first, such as with `sam build` or `cdk synth`, and use the result"
            raise document.error(f"Template error: Transform {shown} is not supported", ("Transform",), hint)
    return tuple(map(str, names))


def members(document: Document, section: str) -> dict[str, JSON]:
    """Return the members of a section, which may be missing. Checks their number."""
    found = document.data.get(section, {})
    if not isinstance(found, dict):
        raise document.error(f"Template format error: [/{section}] must be an object", (section,))
    limit = _LIMITS.get(section)
    if limit is not None and len(found) > limit:
        what = section.lower()
        reason = f"Template format error: Number of {what}, {len(found)}, is greater than maximum allowed, {limit}"
        raise document.error(reason, (section,))
    return found


def check_name(document: Document, name: str, path: Path, kind: str) -> None:
    """Raise `TemplateError` for a name that is not alphanumeric. `kind` begins the message, such as `Resource name`."""
    if not _ALPHANUMERIC.fullmatch(name):
        quoted = name if kind in ("Resource name", "Parameter name") else f"'{name}'"
        raise document.error(f"Template format error: {kind} {quoted} is non alphanumeric.", path)
    if len(name) > MAX_NAME:
        reason = f"Template format error: {kind} {name[:20]}… is longer than {MAX_NAME} characters."
        raise document.error(reason, path)


def check_keys(document: Document, node: dict[str, JSON], path: Path, allowed: Collection[str], kind: str) -> None:
    """Raise `TemplateError` for a key that is not allowed, such as `Invalid template resource property 'Typ'`."""
    for key in node:
        if key not in allowed:
            hint = f"allowed: {', '.join(sorted(allowed))}"
            raise document.error(f"Invalid template {kind} property '{key}'", (*path, key), hint)


def check_description(document: Document, value: JSON, path: Path, limit: int = MAX_DESCRIPTION) -> str:
    """Return a description. Raises `TemplateError` if it is not text, or too long."""
    if isinstance(value, dict | list):
        raise document.error(
            f"Template format error: [{slashed(path)}] Every Description member must be a string.", path
        )
    text = str(value)
    if len(text.encode()) > limit:
        raise document.error(f"Template format error: 'Description' length is greater than {limit}.", path)
    return text
