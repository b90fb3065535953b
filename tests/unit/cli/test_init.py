"""`pipeline init` writes a valid pipeline.yaml for the project."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.config.load import load
from pipeline.config.scaffold import detect_project, render_template
from tests.support.command_line import pipeline

DOCKERFILE = """\
FROM python:3.12-slim
EXPOSE 9000/tcp
HEALTHCHECK --interval=5s \\
  CMD curl -f http://localhost:9000/up?full=1 || exit 1
"""


def directory(root: Path, dockerfile: str | None = DOCKERFILE, folder: str = ".") -> Path:
    made = root / "My Shop (2)"
    (made / folder).mkdir(parents=True)
    if dockerfile is not None:
        (made / folder / "Dockerfile").write_text(dockerfile)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=trunk"], cwd=made, check=True)
    return made


def test_it_finds_port_check_branch_and_name(tmp_path: Path) -> None:
    """Port, health check, branch and name are detected, and the file is valid."""
    made = directory(tmp_path)
    done = pipeline("init", cwd=made)
    assert done.returncode == 0
    first = (made / "pipeline.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=.pipeline.schema.json"
    assert json.loads((made / ".pipeline.schema.json").read_text())["$id"]
    configuration = load(made / "pipeline.yaml").pipeline
    group = configuration.balancer.target_groups["web"]
    assert (configuration.name, configuration.source.branch) == ("my-shop-2", "trunk")
    assert (group.port, group.health_check.path) == (9000, "/up?full=1")
    assert done.stdout.splitlines()[0] == ("wrote pipeline.yaml: my-shop-2, branch trunk, port 9000, check /up?full=1")


def test_every_key_has_its_meaning(tmp_path: Path) -> None:
    """Every key of the file has a comment."""
    lines = render_template(detect_project(directory(tmp_path))).splitlines()
    settings = [line for line in lines if ":" in line and not line.rstrip().endswith(":") and not line.startswith("#")]
    assert settings
    assert all(" # " in line for line in settings if "command: [" not in line)


def test_a_dockerfile_further_down(tmp_path: Path) -> None:
    """The folder of a nested Dockerfile is the build context."""
    made = directory(tmp_path, folder="services/web")
    assert detect_project(made).context == "services/web"


def test_in_a_folder_of_a_repository(tmp_path: Path) -> None:
    """The build context is relative to the repository's root."""
    made = directory(tmp_path, folder="services/web")
    assert detect_project(made / "services" / "web").context == "services/web"


@pytest.mark.parametrize(
    ("dockerfile", "note"),
    [
        (None, "no Dockerfile found: create one, and set build.context to its folder"),
        ("FROM x\n", "no EXPOSE in the Dockerfile: check balancer.target_groups.web.port"),
        (
            "FROM x\nEXPOSE 80\n",
            "no HEALTHCHECK with a URL: check that health_check.path returns 200 when the app is ready",
        ),
    ],
)
def test_undetected_properties_are_reported(dockerfile: str | None, note: str, tmp_path: Path) -> None:
    """Each undetected property is reported with the key to check."""
    assert note in detect_project(directory(tmp_path, dockerfile)).notes


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    """An existing file is kept without `--force`."""
    made = directory(tmp_path)
    (made / "pipeline.yaml").write_text("mine")
    done = pipeline("init", cwd=made)
    assert done.returncode == 2
    assert done.stderr == "error: pipeline.yaml already exists\nhint: overwrite it with --force\n"
    assert (made / "pipeline.yaml").read_text() == "mine"
    assert pipeline("init", "--force", cwd=made).returncode == 0


@pytest.mark.parametrize(
    ("dockerfile", "noted"),
    [
        ("FROM a\nCMD python app.py\n", "CMD"),
        ('FROM a\nENTRYPOINT ./run.sh\nCMD ["x"]\n', "ENTRYPOINT"),
        ("FROM a\nCMD exec python app.py\n", None),
        ('FROM a\nENTRYPOINT ["./run.sh"]\nCMD python\n', None),
        ('FROM a\nCMD python x\nFROM b\nCMD ["python"]\n', None),
        ('FROM a\nHEALTHCHECK --interval=5s \\\n  CMD curl x\nCMD ["python"]\n', None),
        ("FROM a\ncmd python \\\n  # a comment\n  app.py\n", "CMD"),
        ("FROM a\n", None),
    ],
)
def test_a_program_behind_a_shell_is_noted(tmp_path: Path, dockerfile: str, noted: str | None) -> None:
    """A CMD or ENTRYPOINT that a shell runs is noted, because the shell may keep SIGTERM from the app."""
    found = [note for note in detect_project(directory(tmp_path, dockerfile)).notes if "SIGTERM" in note]
    assert [note.split()[0] for note in found] == ([noted] if noted else [])
