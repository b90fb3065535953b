"""The files of a run's tests: what is there is served, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from pipeline.base.home import Home
from pipeline.http.run_artifacts import ArtifactMissing, RunArtifacts

HOSTILE = [
    "plain.txt",
    "with space.txt",
    "<script>alert(1)<!-- .html",
    '"quoted"; filename=x.exe',
    "line\nbreak\r\nSet-Cookie: a=b",
    "\x1b[2Jescape",
    "per%2e%2e%2fcent",
    "..dots",
    "ünïcödé-✓",
    "\udcff\udcfe-no-utf-8",
    "?query=1&a=b#fragment",
    "back\\slash",
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose run 1 has a file of each name, and secrets around it."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    folder = home.run_artifacts("shop", 1) / "srv" / "out"
    folder.mkdir(parents=True)
    for name in HOSTILE:
        (folder / name).write_bytes(os.fsencode(name))
    home.run_log("shop", 1).write_text("secret")
    home.run_artifacts("shop", 2).mkdir()
    (home.run_artifacts("shop", 2) / "other").write_text("secret")
    return home


def artifacts(home: Home) -> RunArtifacts:
    """Return those of run 1."""
    return RunArtifacts(home, "shop", 1)


def test_each_file_of_the_list_is_served(home: Home) -> None:
    """The address of each leads to its content, whatever its name is."""
    found = artifacts(home).all()
    assert len(found) == len(HOSTILE)
    contents = []
    for each in found:
        prefix, _, quoted = each.url.partition("/artifacts/")
        assert (prefix, each.url.isascii(), each.url.isprintable()) == ("/v1/pipelines/shop/runs/1", True, True)
        file = artifacts(home).open(quoted)
        contents.append(b"".join(file.chunks()))
        assert each.size == file.size == len(contents[-1])
    assert sorted(contents) == sorted(map(os.fsencode, HOSTILE))


def test_the_list_is_json(home: Home) -> None:
    """Also with names that are no UTF-8. All others are as they are."""
    paths = [json.loads(each.model_dump_json())["path"] for each in artifacts(home).all()]
    expected = [f"srv/out/{name}" for name in HOSTILE if "\udcff" not in name]
    assert set(expected) == {path for path in paths if "no-utf-8" not in path}
    assert "srv/out/\\udcff\\udcfe-no-utf-8" in paths


def test_a_browser_saves_a_file_and_does_nothing_else(home: Home) -> None:
    """No name can add a header, and no content is run."""
    for each in artifacts(home).all():
        file = artifacts(home).open(each.url.partition("/artifacts/")[2])
        headers = file.headers
        name = headers["Content-Disposition"].removeprefix("attachment; filename*=UTF-8''")
        assert unquote_to_bytes(name) == os.fsencode(file.name)
        assert all(value.isascii() and value.isprintable() for value in headers.values())
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"
        os.close(file.descriptor)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", ".", "..", "srv", "srv/out", "srv/out/", "/srv/out/plain.txt", "srv//out/plain.txt",
        "srv/./out/plain.txt", "../1.jsonl", "..%2f1.jsonl", "%2e%2e/1.jsonl", "srv/../../1.jsonl",
        "../2.artifacts/other", "srv/out/plain.txt%00",
        "%00", "srv/out/nothing", "/etc/passwd", "%2Fetc%2Fpasswd", "srv/out/plain.txt/more", "x" * 5000,
    ],
)  # fmt: skip
def test_nothing_else_is_served(home: Home, path: str) -> None:
    """No path leads out of the folder, and a folder is no file."""
    with pytest.raises(ArtifactMissing, match="run 1 has no such artifact"):
        artifacts(home).open(path)


@pytest.mark.parametrize("target", ["/etc/passwd", "srv/out/plain.txt", "."])
def test_a_link_is_not_followed(home: Home, target: str) -> None:
    """The tests cannot leave one, and if one were there, it would lead nowhere."""
    folder = home.run_artifacts("shop", 1)
    (folder / "link").symlink_to(target)
    (folder / "folder").symlink_to(folder / "srv", target_is_directory=True)
    assert len(artifacts(home).all()) == len(HOSTILE)
    for path in ("link", "folder/out/plain.txt", "link/passwd"):
        with pytest.raises(ArtifactMissing):
            artifacts(home).open(path)


def test_a_pipe_does_not_hold_the_server(home: Home) -> None:
    """It is no file."""
    os.mkfifo(home.run_artifacts("shop", 1) / "pipe")
    assert len(artifacts(home).all()) == len(HOSTILE)
    with pytest.raises(ArtifactMissing):
        artifacts(home).open("pipe")


def test_a_run_without_artifacts(home: Home) -> None:
    """It has an empty list."""
    assert RunArtifacts(home, "shop", 7).all() == []
    with pytest.raises(ArtifactMissing):
        RunArtifacts(home, "shop", 7).open("srv/out/plain.txt")


def test_a_file_that_nobody_reads_is_closed(home: Home) -> None:
    """A client may be gone before the first chunk is read."""
    file = artifacts(home).open("srv/out/plain.txt")
    chunks = file.chunks()
    os.fstat(file.descriptor)
    del chunks
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.descriptor)
