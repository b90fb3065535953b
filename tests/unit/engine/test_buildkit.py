"""What a build by a docker command leaves on disk."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.engine.builder import BuildSpec
from pipeline.engine.docker.buildkit import BuildKitBuilder
from pipeline.engine.docker.command import BuildKitCommand

# Writes the file with the image's id as docker does, and keeps its path.
DOCKER = """\
#!/bin/sh
for argument; do case "$argument" in --iidfile=*) id="${argument#--iidfile=}";; esac; done
printf sha256:0123 > "$id"
printf %s "$id" > "${0%/*}/id-file"
"""


def test_a_build_has_files_only_beside_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a build that is killed leaves nothing that the next one of the pipeline does not remove."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no such folder"))
    docker, context = tmp_path / "docker", tmp_path / "contexts" / "7"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    context.mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM scratch\n")
    builder = BuildKitBuilder(
        BuildKitCommand(str(docker), True, "docker"),
        "",
        environment={},
        home="home",
        image_id=lambda name: name,
        many_platforms=lambda: False,
    )
    spec = BuildSpec(context, "Dockerfile", "shop:1", secrets={"token": "sesame"})
    assert builder.build(spec, lambda _: None, threading.Event(), timedelta(seconds=30)) == "sha256:0123"
    id_file = Path((tmp_path / "id-file").read_text())
    assert id_file.parent.parent == context.parent
    assert id_file.parent.name.startswith("7.")
    assert [path.name for path in context.parent.iterdir()] == ["7"]
