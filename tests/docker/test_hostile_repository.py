"""A repository that means harm does none: it cannot reach what is not its own, and says clearly why it is not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store.records import RunState
from tests.docker.project import Project
from tests.docker.serving import Serving, serving

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]


@pytest.fixture
def served(project: Project) -> Iterator[Serving]:
    """A project that is served, whose version 1 is release 1."""
    with serving(project) as served:
        served.await_run(1)
        yield served


def failed(served: Serving, number: int = 2) -> str:
    """Why a run failed; what served serves on."""
    reason = served.await_run(number, RunState.FAILED).reason
    served.project.assert_serving(1)
    return reason


def link(project: Project, name: str, target: str) -> None:
    path = project.directory / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_a_dockerfile_that_is_a_link_out_of_the_tree(served: Serving) -> None:
    """Is not followed: what it points to is another machine's business."""
    link(served.project, "Dockerfile", "/etc/passwd")
    served.project.commit()
    assert "root:" not in (reason := failed(served))
    assert "Dockerfile" in reason


def test_a_pipeline_file_that_is_a_link_out_of_the_tree(served: Serving) -> None:
    """Is read as what git has of it: the words of the link."""
    served.project.git("mv", "pipeline.yaml", "elsewhere.yaml")
    link(served.project, "pipeline.yaml", "/etc/passwd")
    served.project.commit()
    reason = failed(served)
    assert ":pipeline.yaml:" in reason
    assert "must be a mapping" in reason
    assert "root:" not in reason


def test_links_out_of_the_tree_in_the_context(served: Serving) -> None:
    """Lead inside the image, where there is nothing of ours."""
    project = served.project
    link(project, "passwd.txt", "../../../../../../etc/hostname")
    project.write("Dockerfile", (project.directory / "Dockerfile").read_text() + "\nCOPY passwd.txt copied.txt\n")
    project.commit()
    assert "passwd.txt" in failed(served) or "COPY" in failed(served)


def test_names_that_are_no_lines(served: Serving) -> None:
    """A newline, a quote, a dash, what is not UTF-8: files like others."""
    project = served.project
    for name in ("a\nb.txt", "-rf", "$(touch owned)", "ü\x1b[31m", "'; drop table runs; --"):
        project.write(name, "harmless\n")
    (project.directory.joinpath("x").parent / b"\xff\xfe".decode(errors="surrogateescape")).write_text("bytes\n")
    project.commit("2")
    served.await_run(2)
    project.assert_serving(2)


def test_a_file_that_is_too_large(served: Serving) -> None:
    """Is not sent to the builder."""
    project = served.project
    project.configure(("build:\n", "build:\n  context_limit: 1MiB\n"))
    project.write("large.bin", "x" * (2 * 2**20))
    project.commit()
    reason = failed(served)
    assert "the build context is larger than 1MiB: 'large.bin' has 2097152 bytes" in reason


def test_attributes_that_name_programs(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run none, though this machine's git knows them, and change no byte of the context."""
    owned, settings = tmp_path / "owned", tmp_path / "gitconfig"
    settings.write_text(f'[filter "evil"]\n\tsmudge = touch {owned} && cat\n\tclean = cat\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    project.write("ident.txt", "$Id$ $Format:%H$\n")
    project.write(".gitattributes", "* filter=evil ident export-subst\nident.txt eol=crlf\n")
    project.write("Dockerfile", (project.directory / "Dockerfile").read_text() + "\nCOPY ident.txt .\n")
    project.configure(("python3, -m, unittest]", """python3, -c, 'print(repr(open("ident.txt").read()))']"""))
    project.commit("1")
    with serving(project) as served:
        served.await_run(1)
        assert not owned.exists()
        assert repr("$Id$ $Format:%H$\n") in project.pipeline("logs").out


def test_a_bomb_of_anchors(served: Serving) -> None:
    """Is no pipeline: it is refused before it unfolds."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for former, name in zip("abcdefghij", "bcdefghijk", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{former}'] * 9)}]\n"
    served.project.write("pipeline.yaml", bomb)
    served.project.commit()
    assert "pipeline.yaml" in failed(served)


def test_a_pipeline_file_of_another_name_or_size(served: Serving) -> None:
    """Another pipeline's is not ours, and what nobody can have written is not read."""
    project = served.project
    project.configure(("name: shop\n", "name: blog\n"))
    project.commit()
    assert "pipeline.yaml is the pipeline blog, and this is shop" in failed(served)
    project.write("pipeline.yaml", "#" * (5 * 2**20))
    project.commit()
    assert "is larger than 4 MiB" in failed(served, 3)
