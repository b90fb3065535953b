"""The examples of docs/strategies.md are valid."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from pipeline.alarms.rollback_on import RollbackOn
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/strategies.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(rollback_on:.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_example_is_valid(text: str) -> None:
    """Each section of the page is read, with a condition of each line that has one."""
    found = RollbackOn.model_validate(YAML(typ="safe").load(text)["rollback_on"])
    assert len(found.conditions) == len(re.findall(r"^ *- ", text, re.MULTILINE))


def test_the_defaults_are_those_of_the_page() -> None:
    """The first example shows the defaults of the section."""
    found = [RollbackOn.model_validate(YAML(typ="safe").load(text)["rollback_on"]) for text in EXAMPLES]
    assert len(found) == 2
    assert [(each.confidence, each.min_requests, each.insufficient_data) for each in found] == [
        (0.99, 20, "promote")
    ] * 2
