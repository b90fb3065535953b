"""The documentation matches the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.cli.commands import COMMANDS
from pipeline.cli.manual import manual_page
from pipeline.cli.program import cli
from pipeline.config.load import load
from pipeline.config.reference import reference_page
from tests.support.paths import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def test_the_reference_is_made_from_the_models() -> None:
    """docs/reference.md equals the output of `pipeline schema --reference`."""
    assert (ROOT / "docs" / "reference.md").read_text() == reference_page()


def test_the_manual_is_made_from_the_commands() -> None:
    """docs/man/pipeline.1 equals the output of `pipeline schema --manual`."""
    assert (ROOT / "docs" / "man" / "pipeline.1").read_text() == manual_page(cli)


def test_our_own_pipeline_is_valid() -> None:
    """The pipeline.yaml of this repository is valid."""
    assert load(ROOT / "pipeline.yaml", {}, {}).pipeline.deploy.replicas == 3


# Templates and Compose files are no pipelines.
_OTHERS = re.compile(r"^(Resources|services):", re.MULTILINE)
PIPELINES = sorted(path for path in ROOT.glob("examples/*/*.yaml") if not _OTHERS.search(path.read_text()))


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_example_pipeline_is_valid(path: Path) -> None:
    """Every pipeline.yaml of an example is valid."""
    assert load(path, {}, {}, secrets_needed=False).pipeline.name


def examples() -> list[tuple[str, str]]:
    blocks = [
        (d.name, block) for d in DOCUMENTS for block in re.findall(r"```yaml\n(.*?)```", d.read_text(), re.DOTALL)
    ]
    return [(name, block) for name, block in blocks if block.startswith("name:")]


@pytest.mark.parametrize(("document", "text"), examples())
def test_every_example_is_valid(document: str, text: str, tmp_path: Path) -> None:
    """Every pipeline.yaml in the documentation is valid."""
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    secrets = tmp_path / ".secrets"
    secrets.touch(0o600)
    secrets.write_text("DATABASE_PASSWORD=x\n")
    for name in ("common.env", "worker.env"):
        (tmp_path / name).write_text("A=x\n")
    assert load(path, {}, {"HOME": "/root", "WEBHOOK_SECRET": "x", "NPM_TOKEN": "x"}).pipeline.name


def test_there_are_examples() -> None:
    """The documentation has at least one complete example."""
    assert "README.md" in {document for document, _ in examples()}


def test_every_command_that_is_mentioned_exists() -> None:
    """Every command in the documentation exists, and the README mentions every command."""
    mentioned = {
        (document.name, word)
        for document in DOCUMENTS
        for word in re.findall(r"(?:^|`|\$ )pipeline ([a-z]+(?:-[a-z]+)*)", document.read_text(), re.MULTILINE)
    }
    assert {(d, w) for d, w in mentioned if w not in COMMANDS} == set()
    assert {w for d, w in mentioned if d == "README.md"} == set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link in the documentation leads to an existing file."""
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target
