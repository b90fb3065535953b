"""CloudFormation's limits."""

from __future__ import annotations

import pytest

from pipeline.stacks.template import Template, TemplateError

RESOURCE = "Resources: {A: {Type: 'A::B::C'}}"


def many(count: int, member: str) -> str:
    """Return so many members of a section."""
    return "{" + ", ".join(f"N{number}: {member}" for number in range(count)) + "}"


@pytest.mark.parametrize(
    ("section", "member", "limit"),
    [
        ("Parameters", "{Type: String, Default: a}", 200),
        ("Mappings", "{a: {b: c}}", 200),
        ("Resources", "{Type: 'A::B::C'}", 500),
        ("Outputs", "{Value: a}", 200),
    ],
)
def test_a_section_with_too_many_members(section: str, member: str, limit: int) -> None:
    """A section may be full, and one more is refused."""
    rest = "" if section == "Resources" else RESOURCE
    Template.parse(f"{section}: {many(limit, member)}\n{rest}")
    with pytest.raises(TemplateError) as caught:
        Template.parse(f"{section}: {many(limit + 1, member)}\n{rest}")
    assert caught.value.reason == (
        f"Template format error: Number of {section.lower()}, {limit + 1}, is greater than maximum allowed, {limit}"
    )


def test_a_mapping_with_too_many_attributes() -> None:
    """A key of a mapping has at most 200 attributes."""
    Template.parse(f"Mappings: {{M: {{a: {many(200, 'b')}}}}}\n{RESOURCE}")
    with pytest.raises(TemplateError) as caught:
        Template.parse(f"Mappings: {{M: {{a: {many(201, 'b')}}}}}\n{RESOURCE}")
    assert caught.value.reason == (
        "Template format error: Number of attributes, 201, is greater than maximum allowed, 200"
    )


@pytest.mark.parametrize(
    ("section", "member", "kind"),
    [
        ("Parameters", "{Type: String}", "Parameter name"),
        ("Mappings", "{a: {b: c}}", "Mappings name"),
        ("Resources", "{Type: 'A::B::C'}", "Resource name"),
        ("Outputs", "{Value: a}", "Outputs name"),
    ],
)
def test_a_name_that_is_too_long(section: str, member: str, kind: str) -> None:
    """A name has at most 255 characters."""
    rest = "" if section == "Resources" else RESOURCE
    Template.parse(f"{section}: {{{'N' * 255}: {member}}}\n{rest}")
    with pytest.raises(TemplateError) as caught:
        Template.parse(f"{section}: {{{'N' * 256}: {member}}}\n{rest}")
    assert caught.value.reason == f"Template format error: {kind} {'N' * 20}… is longer than 255 characters."
