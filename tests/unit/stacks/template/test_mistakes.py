"""Every mistake in a template is reported with its position, path and the words of CloudFormation."""

from __future__ import annotations

import pytest

from pipeline.base.errors import ConfigError, ExitCode
from pipeline.stacks.template import TemplateError
from tests.unit.stacks.template.good import GOOD, evaluated
from tests.unit.stacks.template.mistakes import MISTAKES, Bad


def test_the_good_template_is_good() -> None:
    """The template that the table of mistakes changes is valid."""
    assert list(evaluated(GOOD).resources) == ["Web", "Group", "Listener"]


@pytest.mark.parametrize("bad", MISTAKES, ids=lambda bad: bad.mistake)
def test_each_mistake_has_its_exact_error(bad: Bad) -> None:
    """One mistake gives one error, with position, path, reason and hint."""
    assert bad.right in GOOD
    with pytest.raises(ConfigError) as caught:
        evaluated(GOOD.replace(bad.right, bad.written, 1), bad.parameters)
    assert caught.value.message == f"t.yaml:{bad.error}"
    assert caught.value.exit_code is ExitCode.BAD_CONFIGURATION


def test_an_error_has_its_parts_for_the_api() -> None:
    """`reason` is what CloudFormation's API answers. It has no position and no hint, which the message has."""
    with pytest.raises(TemplateError) as caught:
        evaluated(GOOD.replace("!Ref Web", "!Ref Webb"))
    error = caught.value
    assert error.reason == (
        "Template format error: Unresolved resource dependencies [Webb] in the Resources block of the template"
    )
    assert (error.line, error.column) == (49, 24)
    assert error.path == "Resources.Listener.Properties.LoadBalancerArn.Ref"
