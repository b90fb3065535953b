"""docs/web.md: the settings in it are valid, and the table has all keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.web.settings import WebSettings, read_settings
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/web.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_settings_are_valid(text: str, tmp_path: Path) -> None:
    """Each example of web.yaml can be used as it is."""
    file = tmp_path / "web.yaml"
    file.write_text(text)
    assert read_settings(file).url


def test_every_key_is_described() -> None:
    """The table of keys has each of them."""
    keys = {key for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    assert WebSettings.model_fields.keys() <= keys
