"""The laboratory in examples/elb-lab, and the commands of its README."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.paths import ROOT

LAB = ROOT / "examples" / "elb-lab"
# What a learner fills in, and what it may be.
_PLACEHOLDERS = {
    "TARGET": r"[0-9a-f]{12}",
    "FILE": r"\S+/web\.yaml",
    "ADDRESS": r"[0-9.]+",
    "FOLDER": r"\S+/\.setup/elb-lab",
}


def commands(readme: Path) -> list[str]:
    """Return the commands of a README without their comments, in order."""
    blocks = re.findall(r"```console\n(.*?)```", readme.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s{2,}# .*", "", line.removeprefix("$ ")) for line in lines]


def pattern(command: str) -> str:
    """Return a regular expression for a command of the README with its placeholders filled in."""
    words = re.split(f"({'|'.join(_PLACEHOLDERS)})", command)
    return "".join(_PLACEHOLDERS.get(word, re.escape(word)) for word in words)
