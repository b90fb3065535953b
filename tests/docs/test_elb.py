"""The page about ELB names tests that are there."""

from __future__ import annotations

import re

from tests.support.paths import ROOT


def test_every_proof_exists() -> None:
    """Each file that is named as a proof is one."""
    named = set(re.findall(r"`((?:tests|bench)/[\w/]+\.py)`", (ROOT / "docs" / "elb.md").read_text()))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
