"""The examples of docs/scaling.md, and of examples/three-hosts, are valid and mean what the text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.config.load import load
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/scaling.md").read_text()
EXAMPLE = ROOT / "examples/three-hosts"
TEXTS = [*re.findall(r"```yaml\n(name: .*?)```", PAGE, re.DOTALL)]
TEXTS += [(EXAMPLE / name).read_text() for name in ("pipeline.yaml", "swarm.yaml")]


@pytest.mark.parametrize(
    ("number", "runtime", "hosts"), [(0, "docker", 3), (1, "swarm", 0), (2, "docker", 3), (3, "swarm", 3)]
)
def test_each_file_is_valid(tmp_path: Path, number: int, runtime: str, hosts: int) -> None:
    """Its runtime and its hosts are those of the text, and it wants six replicas."""
    (tmp_path / "pipeline.yaml").write_text(TEXTS[number])
    deploy = load(tmp_path / "pipeline.yaml", {}, {}).pipeline.deploy
    assert (deploy.runtime, len(deploy.hosts), deploy.replicas) == (runtime, hosts, 6)
    assert len(TEXTS) == 4


def test_the_readme_of_the_example_names_its_files() -> None:
    """Its links lead somewhere, and the commands are targets of the Makefile."""
    text = (EXAMPLE / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (EXAMPLE / link).exists(), link
    assert "\nhosts: setup ## " in (ROOT / "Makefile").read_text()
