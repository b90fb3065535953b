"""The ELB page names existing tests."""

from __future__ import annotations

import re

from tests.support.paths import ROOT


def test_every_proof_exists() -> None:
    """Each file that the page names as a proof exists."""
    named = set(re.findall(r"`((?:tests|bench)/[\w/]+\.py)`", (ROOT / "docs" / "elb.md").read_text()))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
