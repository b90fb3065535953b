"""The help that is printed without click."""

from __future__ import annotations

import click
import pytest

from pipeline.cli.help import help_text
from pipeline.cli.program import cli


@pytest.mark.parametrize("columns", range(20, 121))
def test_it_is_that_of_click(columns: int) -> None:
    """It is the same text for every width of a terminal."""
    context = click.Context(cli, info_name="pipeline", terminal_width=max(min(columns, 80) - 2, 50))
    context.help_option_names = ["-h", "--help"]
    assert help_text(columns) == f"{cli.get_help(context)}\n"
