"""Stages that pipeline.yaml chooses by `uses`, and their options in `with`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.load import Configuration, load
from pipeline.config.reference import reference_page
from tests.support.pipeline_yaml import MINIMAL

_MODULE = """\
import datetime
import enum
from typing import Literal
from pydantic import Field
from pipeline.api import StageOptions

class Channel(enum.StrEnum):
    STABLE = "stable"
    UNSTABLE = "unstable"

class Nix:
    class Options(StageOptions):
        flake: str = Field(description="Flake that gives the image.")
        jobs: int = Field(1, ge=1, description="Number of parallel jobs.")
        channel: Channel = Field(Channel.STABLE, description="Channel.")
        priority: float = Field(0, lt=10, description="Priority.")
        since: datetime.date | None = Field(None, description="Date of the channel.")
        system: Literal["x86_64-linux", "aarch64-linux"] = Field("x86_64-linux", description="Platform.")
    section_keys = frozenset({"timeout"})
    def __init__(self, options): self.options = options
    def build(self, context, checkout): ...

class Plain:
    def build(self, context, checkout): ...

class Directory:
    def find(self, context, wanted): ...

class Options(Plain):
    class Options: ...

class NoBuild: ...
"""
_ENTRY_POINTS = """\
[pipeline.stages]
build.nix = nix_stage:Nix
build.plain = nix_stage:Plain
build.sick = stage_that_is_not_there:Sick
build.odd = nix_stage:Options
build.half = nix_stage:NoBuild
build.function = nix_stage:len
source.directory = nix_stage:Directory
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a third-party package with stages."""
    packages = tmp_path / "site-packages"
    described = packages / "nix_stage-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: nix-stage\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(_ENTRY_POINTS)
    (packages / "nix_stage.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(packages)
    monkeypatch.delitem(sys.modules, "nix_stage", raising=False)


def loaded(folder: Path, text: str, **environ: str) -> Configuration:
    path = folder / "pipeline.yaml"
    path.write_text(MINIMAL + text)
    return load(path, {}, environ)


def wrong(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return [line.removeprefix(f"{folder}/pipeline.yaml:") for line in caught.value.message.splitlines()]


def test_the_shipped_stages_are_the_default(tmp_path: Path) -> None:
    """Without `uses` the shipped stages are used. Naming them has the same effect."""
    named = "source: {uses: git}\nbuild: {uses: docker, with: {}}\n"
    assert loaded(tmp_path, named).pipeline == loaded(tmp_path, "").pipeline


def test_options_may_contain_references(tmp_path: Path) -> None:
    """Parameters are resolved in options. Secrets stay names until the stage resolves them."""
    text = "build: {uses: nix, with: {flake: '${ref}#${secret:TOKEN}'}}\nparameters: {ref: {default: main}}\n"
    configuration = loaded(tmp_path, text, TOKEN="geheim")
    assert configuration.pipeline.build.options == {"flake": "main#${secret:TOKEN}"}
    assert configuration.secrets.resolve("${secret:TOKEN}") == "geheim"


def test_a_key_that_the_stage_reads_is_allowed(tmp_path: Path) -> None:
    """A stage lists the keys of its section that it reads."""
    assert loaded(tmp_path, "build: {uses: nix, with: {flake: x}, timeout: 5m}\n").pipeline.build.uses == "nix"


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("build: {uses: nixx, with: {flake: x}}", ["6:15: build.uses: unknown stage 'nixx' (did you mean nix?)"]),
        (
            "build: {uses: bazel}",
            [
                "6:15: build.uses: unknown stage 'bazel' (known: docker, function, half, nix, odd, plain, sick)",
            ],
        ),
        ("source: {uses: svn}", ["6:16: source.uses: unknown stage 'svn' (known: directory, git)"]),
        ("source: {uses: docker}", ["6:16: source.uses: unknown stage 'docker' (known: directory, git)"]),
        ("build: {uses: 7, with: {a: 1}}", ['6:15: build.uses: must be text, got 7 (write "7")']),
        ("build: {uses: ''}", ["6:15: build.uses: must not be empty"]),
        ("build: {uses: nix, with: x}", ["6:26: build.with: must be a mapping of keys, got 'x'"]),
        ("build: {uses: nix}", ["6:1: build.with: is missing (build.nix requires flake)"]),
        (
            "build: {uses: nix, with: {jobs: 2}}",
            ["6:20: build.with.flake: is missing (Flake that gives the image)"],
        ),
        (
            "build: {uses: nix, with: {flak: x, jobs: 0, system: arm}}",
            [
                "6:27: build.with.flak: unknown key (did you mean flake?)",
                "6:42: build.with.jobs: must be at least 1, got 0",
                "6:53: build.with.system: must be x86_64-linux or aarch64-linux, got 'arm'",
            ],
        ),
        (
            "build: {uses: nix, with: {flake: x, channel: beta, priority: 10, since: today}}",
            [
                "6:46: build.with.channel: must be 'stable' or 'unstable', got 'beta'",
                "6:62: build.with.priority: must be less than 10, got 10",
                "6:73: build.with.since: must be a valid date or datetime, input is too short, got 'today'",
            ],
        ),
        ("build: {uses: nix, with: {flake: 7}}", ['6:34: build.with.flake: must be text, got 7 (write "7")']),
        ("build: {uses: plain, with: {a: 1}}", ["6:22: build.with: the stage build.plain has no options"]),
        ("build: {with: {a: 1}}", ["6:9: build.with: the stage build.docker has no options"]),
        (
            "build: {uses: plain, test: {command: [make]}}",
            [
                "6:22: build.test: is not used by the stage build.plain "
                "(remove it, or set build.uses to another stage)",
            ],
        ),
        (
            "source: {uses: directory, branch: main, paths: [a]}",
            [
                "6:41: source.paths: is not used by the stage source.directory "
                "(remove it, or set source.uses to another stage)",
            ],
        ),
        (
            "build: {uses: sick}",
            [
                "6:15: build.uses: cannot load stage build.sick: "
                "ModuleNotFoundError(\"No module named 'stage_that_is_not_there'\")",
            ],
        ),
        ("build: {uses: half}", ["6:15: build.uses: build.half must be a class with the method build"]),
        (
            "build: {uses: odd}",
            ["6:15: build.uses: build.odd has Options that are not a subclass of pipeline.api.StageOptions"],
        ),
        ("build: {uses: nix, with: {flake: '${nope}'}}", ["6:34: build.with.flake: unknown parameter nope"]),
    ],
)
def test_each_mistake(text: str, errors: list[str], tmp_path: Path) -> None:
    """An error has the position, the key, the reason and a hint, and each mistake is reported once."""
    found = wrong(tmp_path, f"{text}\n")
    assert len(found) == len(errors), found
    for line, error in zip(found, errors, strict=True):
        assert line.startswith(error)


def test_something_that_cannot_be_imported_from_its_module(tmp_path: Path) -> None:
    """An entry point without its object is an error at `uses`."""
    (line,) = wrong(tmp_path, "build: {uses: function}\n")
    assert line.startswith("6:15: build.uses: cannot load stage build.function: AttributeError(")


def test_every_option_is_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of an installed stage are in the reference."""
    listed = tmp_path / "site-packages" / "nix_stage-1.0.dist-info" / "entry_points.txt"
    listed.write_text("[pipeline.stages]\nbuild.nix = nix_stage:Nix\n")
    page = reference_page()
    assert "## `build.with, uses: nix`" in page
    assert "| `flake` | text | **required** | Flake that gives the image. |" in page
