"""Models that are built when the first value is read read and dump the same as models that are built before."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.waiting import COMMAND_TIMEOUT

# The place of an error in a union names a model that is built later in this way.
_LATER = re.compile(r"function-plain\[(\w+)\(\)\]")


def readings(*arguments: str) -> dict[str, list[str]]:
    """What a new Python reads, which has built no model yet."""
    command = [sys.executable, "-m", "tests.golden.model_readings", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(_LATER.sub(r"\1", done.stdout)))


@pytest.fixture(scope="module")
def whole() -> dict[str, list[str]]:
    """What models read that are built with those inside them."""
    return readings("whole")


@pytest.mark.parametrize("built", [(), ("SharedGroup", "EndpointsAlone")], ids=["none", "some"])
def test_a_model_reads_the_same_whenever_it_is_built(built: tuple[str, ...], whole: dict[str, list[str]]) -> None:
    """Values, dumps, and the places and texts of errors, also if only some models of a union are built."""
    found = readings(*built)
    assert len(found) > 500
    assert [place for place in found if found[place] != whole[place]] == []
