"""A hostile repository cannot reach files outside its tree, and its runs fail with a clear reason."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.base.printable import escape_controls
from pipeline.store.records import RunState
from tests.docker.project import Project
from tests.docker.serving import Serving, serving

pytestmark = pytest.mark.docker


@pytest.fixture
def served(project: Project) -> Iterator[Serving]:
    """The daemon of a project whose version 1 is the active release 1."""
    with serving(project) as served:
        served.await_run(1)
        yield served


def failed(served: Serving, number: int = 2) -> str:
    """Wait for a failed run and return its reason. Release 1 must still be active."""
    reason = served.await_run(number, RunState.FAILED).reason
    served.project.assert_serving(1)
    return reason


def link(project: Project, name: str, target: str) -> None:
    path = project.directory / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_a_dockerfile_that_is_a_link_out_of_the_tree(served: Serving) -> None:
    """A Dockerfile that links out of the tree is not followed."""
    link(served.project, "Dockerfile", "/etc/passwd")
    served.project.commit()
    assert "root:" not in (reason := failed(served))
    assert "Dockerfile" in reason


def test_a_pipeline_file_that_is_a_link_out_of_the_tree(served: Serving) -> None:
    """A pipeline.yaml that links out of the tree is not followed."""
    served.project.git("mv", "pipeline.yaml", "elsewhere.yaml")
    link(served.project, "pipeline.yaml", "/etc/passwd")
    served.project.commit()
    reason = failed(served)
    assert reason.startswith("pipeline.yaml of commit ")
    assert "is a symbolic link that leads out of the repository" in reason
    assert "root:" not in reason


def test_links_out_of_the_tree_in_the_context(served: Serving) -> None:
    """Links out of the tree resolve inside the image, where they reach no file of this machine."""
    project = served.project
    link(project, "passwd.txt", "../../../../../../etc/hostname")
    project.write("Dockerfile", (project.directory / "Dockerfile").read_text() + "\nCOPY passwd.txt copied.txt\n")
    project.commit()
    assert "passwd.txt" in failed(served) or "COPY" in failed(served)


def test_names_that_are_no_lines(served: Serving) -> None:
    """Files with a newline, a quote, a dash or invalid UTF-8 in their names are built like others."""
    project = served.project
    for name in ("a\nb.txt", "-rf", "$(touch owned)", "ü\x1b[31m", "'; drop table runs; --"):
        project.write(name, "harmless\n")
    (project.directory.joinpath("x").parent / b"\xff\xfe".decode(errors="surrogateescape")).write_text("bytes\n")
    project.commit("2")
    served.await_run(2)
    project.assert_serving(2)


def test_a_file_that_is_too_large(served: Serving) -> None:
    """A file that is too large is not sent to the builder."""
    project = served.project
    project.configure(("build:\n", "build:\n  context_limit: 1MiB\n"))
    project.write("large.bin", "x" * (2 * 2**20))
    project.commit()
    reason = failed(served)
    assert "the build context is larger than 1MiB: 'large.bin' has 2097152 bytes" in reason


def test_attributes_that_name_programs(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git attributes run no program that this machine's git knows, and change no byte of the context."""
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
    """A YAML bomb is rejected before its anchors are expanded."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for previous, name in zip("abcdefghij", "bcdefghijk", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{previous}'] * 9)}]\n"
    served.project.write("pipeline.yaml", bomb)
    served.project.commit()
    assert "pipeline.yaml" in failed(served)


def test_a_pipeline_file_of_another_name_or_size(served: Serving) -> None:
    """A pipeline.yaml with another name is rejected, and one that is too large is not read."""
    project = served.project
    project.configure(("name: shop\n", "name: blog\n"))
    project.commit()
    assert "pipeline.yaml is the pipeline blog, and this is shop" in failed(served)
    project.write("pipeline.yaml", "#" * (5 * 2**20))
    project.commit()
    assert "is larger than 4 MiB" in failed(served, 3)


POISON = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202eevil"


def on_terminal(project: Project, *arguments: str) -> str:
    """Run a command on a terminal and return everything that it writes there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pipeline.cli.main", *arguments]
    with subprocess.Popen(
        command, cwd=project.directory, env={**project.environment, "TERM": "xterm"}, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        written = b""
        # The end of a terminal is an error.
        with suppress(OSError):
            while part := os.read(ours, 65536):
                written += part
    os.close(ours)
    return written.decode()


def test_control_characters_in_every_field_of_a_commit(project: Project) -> None:
    """No field of a commit reaches a terminal, JSON or the store raw: names, message, file names, the tests' output."""
    script = json.dumps(f"echo '{POISON}'; ls; cat *evil*")
    project.configure(("[python3, -m, unittest]", f"[sh, -c, {script}]"))
    project.write(f"{POISON}.txt", POISON)
    project.git("add", "--all")
    project.git("-c", f"user.name=Eve {POISON}", "commit", "--quiet", "-m", f"Fix {POISON}\nnow", "-m", POISON)
    shown = on_terminal(project, "run", "-p", f"x={POISON}")
    shown += on_terminal(project, "run")
    assert not any(part in shown for part in ("\x1b]0;owned", "\x1b[2J", "\x9b", "\u202e")), shown
    assert "Fix" in shown
    views = [("status",), ("history",), ("releases",), ("events",), ("logs",), ("run", POISON), ("balancer",)]
    for view in views:
        result = project.pipeline(*view, code=None)
        assert result.out + result.err == escape_controls(result.out + result.err)
    run = project.store().runs.latest("shop", 1)[0]
    assert run.state is RunState.SUCCEEDED
    assert run.subject == f"Fix {escape_controls(POISON)} now"
    assert run.author == f"Eve {escape_controls(POISON)}"
