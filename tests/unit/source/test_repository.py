"""A real git: whatever kind of repository, the commit is found and the user's files are never touched."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError, StageFailed
from pipeline.base.git import redact
from pipeline.base.remote_url import is_url
from tests.support.repository import Work


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_a_branch_is_resolved_with_who_and_what(work: Work) -> None:
    """The full id, the author and the subject."""
    revision = work.open().resolve("main")
    assert (revision.sha, revision.ref, revision.author, revision.subject) == (work.first, "main", "Ann", "Say one")
    assert revision.source == f"{work.path}/.git"


@pytest.mark.parametrize("name", ["one\ntwo", "one\u2028two", "one\x0btwo", "one\n"])
def test_a_line_break_in_the_path(tmp_path: Path, name: str) -> None:
    """It is a part of the name, as for git."""
    (tmp_path / name).mkdir()
    work = Work(tmp_path / name)
    assert work.open().resolve("main").sha == work.first


def test_every_kind_of_name(work: Work) -> None:
    """A branch, a tag with and without a message, a short and a full id, and HEAD."""
    work.git("tag", "v1")
    work.git("tag", "-a", "v1.0", "-m", "First")
    work.commit("two")
    repository = work.open()
    names = ["v1", "v1.0", work.first, work.first[:8]]
    assert [repository.resolve(name).sha for name in names] == [work.first] * 4
    work.git("checkout", "--quiet", "--detach", work.first)
    assert repository.resolve("HEAD").sha == work.first


def test_a_branch_comes_before_a_tag_of_the_same_name(work: Work) -> None:
    """So that nobody can redirect a branch by a tag."""
    work.git("tag", "release")
    second = work.commit("two")
    work.git("branch", "release")
    assert work.open().resolve("release").sha == second


def test_new_commits_are_seen_and_rewritten_branches_followed(work: Work) -> None:
    """The mirror is fetched each time, by force."""
    repository = work.open()
    repository.resolve("main")
    second = work.commit("two")
    assert repository.resolve("main").sha == second
    work.git("reset", "--quiet", "--hard", work.first)
    third = work.commit("three")
    assert repository.resolve("main").sha == third


@pytest.mark.parametrize("kind", ["bare", "worktree", "gitfile", "subfolder", "clone", "url"])
def test_every_kind_of_repository(kind: str, work: Work) -> None:
    """Bare, a linked worktree, a .git that is a file, a folder within, a clone of a clone, a URL."""
    target = work.root / kind
    match kind:
        case "bare" | "clone":
            options = ("--bare",) if kind == "bare" else ()
            work.git("clone", "--quiet", *options, str(work.path), str(target))
        case "worktree":
            work.git("worktree", "add", "--quiet", "-b", "side", str(target))
        case "gitfile":
            separate = ("--separate-git-dir", str(work.root / "elsewhere"))
            work.git("clone", "--quiet", *separate, str(work.path), str(target))
        case "subfolder":
            target = work.path / "sub"
            target.mkdir()
        case "url":
            assert work.open(f"file://{work.path}").resolve("main").sha == work.first
            return
    repository = work.open(str(target))
    assert repository.resolve("HEAD").sha == work.first
    assert repository.resolve("main").sha == work.first


def test_the_checkout_is_never_touched(work: Work) -> None:
    """Not its files, not its index, not its refs."""
    (work.path / "file.txt").write_text("changed")
    (work.path / "new.txt").write_text("new")

    def state() -> list[tuple[str, int, bytes]]:
        files = [p for p in work.path.rglob("*") if p.is_file()]
        return sorted((str(p), p.stat().st_mtime_ns, p.read_bytes()) for p in files)

    before = state()
    repository = work.open()
    revision = repository.resolve("main")
    assert repository.uncommitted(revision, apart_from=[]) == 2
    assert repository.checkout(revision).read("file.txt") == b"one"
    assert state() == before


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (("mv", "file.txt", "moved.txt"), 1),
        (("mv", "file.txt", "R  x"), 1),
        (("config", "status.showUntrackedFiles", "no"), 1),
        (("config", "status.renames", "copies"), 1),
        (("rm", "--quiet", "file.txt"), 1),
    ],
)
def test_each_uncommitted_change_counts_once(change: tuple[str, ...], count: int, work: Work) -> None:
    """Whatever the user's git shows by default. The pipeline's own file does not count."""
    repository = work.open()
    revision = repository.resolve("main")
    work.git(*change)
    if change[0] == "config":
        (work.path / "new.txt").write_text("new")
    assert repository.uncommitted(revision, apart_from=[]) == count
    (work.path / "pipeline.yaml").write_text("name: shop")
    assert repository.uncommitted(revision, apart_from=[work.path / "pipeline.yaml"]) == count


@pytest.mark.parametrize("name", ["HEAD", "objects", "refs"])
@pytest.mark.parametrize("bare", [False, True])
def test_the_remains_of_a_repository(name: str, bare: bool, work: Work) -> None:
    """After a power cut, a file may be empty. The hint does not say to begin anew."""
    path = work.path
    if bare:
        path = work.root / "bare.git"
        work.git("clone", "--quiet", "--bare", str(work.path), str(path))
    damaged = (path if bare else path / ".git") / name
    if name == "HEAD":
        damaged.write_text("")
    else:
        damaged.rename(damaged.with_name("lost"))
    with pytest.raises(ConfigError) as caught:
        work.open(path.name)
    if (bare, name) == (True, "objects"):
        assert "is not a git repository" in caught.value.message
    else:
        assert caught.value.message.startswith(f"source.repository: the repository {path} is damaged")
        assert "git fsck" in str(caught.value.hint)


def test_a_worktree_without_its_repository(work: Work) -> None:
    """The error is git's, which names the missing folder."""
    place = work.worktree()
    work.path.rename(work.root / "moved")
    with pytest.raises(ConfigError, match=r"not a git repository: .*worktrees/linked") as caught:
        work.open(str(place))
    assert caught.value.hint == "run there: git worktree repair"


def test_a_hooks_environment_does_not_lead_elsewhere(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git tells its hooks where their repository is; ours must not believe that."""
    (work.root / "other").mkdir()
    other = Work(work.root / "other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")
    monkeypatch.setenv("GIT_QUARANTINE_PATH", "/nowhere")
    assert work.open().resolve("main").sha == work.first


def test_hooks_of_the_repository_are_not_run(work: Work) -> None:
    """A checkout's hooks are its user's business."""
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        hook = work.path / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {work.root}/ran\n")
        hook.chmod(0o755)
    repository = work.open()
    repository.uncommitted(repository.resolve("main"), apart_from=[])
    assert not (work.root / "ran").exists()


def test_a_commit_of_its_own_is_all_that_is_fetched(work: Work) -> None:
    """Neither branches nor tags come along; and it keeps a ref, or it would come anew each time."""
    work.open().resolve("main")
    second = work.commit("two")
    work.git("branch", "other")
    work.git("tag", "-a", "v2", "-m", "Second")
    assert work.open().commit(second, "main").sha == second
    (mirror,) = (p for p in work.mirrors.iterdir() if p.suffix == ".git")
    known = work.git("for-each-ref", "--format=%(objectname) %(refname)", cwd=mirror).splitlines()
    assert known[0] == f"{work.first} refs/heads/main"
    assert [line.split()[0] for line in known[1:]] == [second]
    third = work.commit("three")
    work.open().commit(third, "main")
    assert len(work.git("for-each-ref", cwd=mirror).splitlines()) == 2


def test_a_commit_with_an_impossible_date(work: Work) -> None:
    """Is a commit all the same: anybody can write one, and it must not keep the others out."""
    sha = work.git(
        "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", "Late", f"{work.first}^{{tree}}"
    ).strip()
    raw = work.git("cat-file", "commit", sha)
    late = re.sub(r"(?m)^(committer .*>) \d+ .*$", r"\1 253402300800 +9900", raw) + "\n"
    odd = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--literally", "--stdin"],
        cwd=work.path, input=late, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    work.git("branch", "odd", odd)
    assert work.open().resolve("odd").committed_at.year == 9999


def test_a_mirror_keeps_its_refs_in_one_file(work: Work) -> None:
    """Tens of thousands of files would be read at each fetch."""
    work.git("branch", "topic/a")
    work.open().resolve("main")
    (mirror,) = (p for p in work.mirrors.iterdir() if p.suffix == ".git")
    assert [p for p in (mirror / "refs").rglob("*") if p.is_file()] == []
    assert work.open().resolve("topic/a").sha == work.first


def test_a_damaged_mirror_is_fetched_anew(work: Work) -> None:
    """A mirror is a copy: nobody has to mend it by hand."""
    repository = work.open()
    repository.resolve("main")
    (mirror,) = (p for p in work.mirrors.iterdir() if p.suffix == ".git")
    (mirror / "HEAD").write_text("nonsense")
    assert work.open().resolve("main").sha == work.first


def test_a_lock_that_a_killed_git_left_is_no_obstacle(work: Work) -> None:
    """Ours is held, so whoever held that one is gone."""
    repository = work.open()
    repository.resolve("main")
    (mirror,) = (p for p in work.mirrors.iterdir() if p.suffix == ".git")
    (mirror / "refs" / "heads" / "main.lock").touch()
    (mirror / "packed-refs.lock").touch()
    second = work.commit("two")
    assert repository.resolve("main").sha == second


def test_a_commit_that_no_branch_leads_to_any_more(work: Work) -> None:
    """By its full id it is still found, as long as git has it."""
    second = work.commit("two")
    work.git("reset", "--quiet", "--hard", work.first)
    work.git("config", "uploadpack.allowAnySHA1InWant", "true")
    assert work.open().resolve(second).sha == second


def test_the_archive_is_the_commit(work: Work) -> None:
    """Of a folder or of all; without anything that is not committed."""
    work.commit("two", "app/main.py")
    (work.path / "app" / "local.py").write_text("local")
    repository = work.open()
    checkout = repository.checkout(repository.resolve("main"))

    def names(folder: str) -> list[str]:
        with checkout.archive(folder) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            return [member.name for member in tar if member.isfile()]

    assert names(".") == ["app/main.py", "file.txt"]
    assert names("app") == ["main.py"]
    assert checkout.read("nothing") is None


def test_what_changed_between_two_commits(work: Work) -> None:
    """Also names that git would quote; None when the former commit is gone."""
    work.commit("x", "ümläut \n.txt")
    repository = work.open()
    revision = repository.resolve("main")
    assert repository.changed(work.first, revision) == ["ümläut \n.txt"]
    assert repository.changed("0" * 40, revision) is None


def test_a_url_without_an_answer(work: Work) -> None:
    """Git's own last line, and no password."""
    with pytest.raises(StageFailed) as caught:
        work.open("http://ann:hunter-two@127.0.0.1:1/shop.git").resolve("main")
    assert "hunter" not in str(caught.value)
    assert caught.value.message.startswith("cannot fetch http://***@127.0.0.1:1/shop.git: ")


def test_head_of_a_url(work: Work) -> None:
    """A URL has no checkout."""
    with pytest.raises(ConfigError) as caught:
        work.open(f"file://{work.path}").resolve("HEAD")
    assert str(caught.value) == "HEAD means what is checked out, and a URL has no checkout\nname a branch"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com/a.git", True),
        ("git@example.com:a.git", True),
        ("example.com:a.git", True),
        ("ssh://git@example.com/a", True),
        ("./a", False),
        ("../a:b", False),
        ("/srv/git/a.git", False),
        ("a", False),
    ],
)
def test_what_is_a_url(text: str, expected: bool) -> None:
    """As git understands it."""
    assert is_url(text) is expected


def test_passwords_are_taken_out_of_locations() -> None:
    """Wherever they stand in a text."""
    assert redact("fatal: https://ann:secret@host/a and http://b@c/") == "fatal: https://***@host/a and http://***@c/"


def test_files_are_those_of_the_commit(work: Work) -> None:
    """In whatever folder, and none where there is none of that name."""
    work.commit("two", "app/Dockerfile")
    (work.path / "link").symlink_to("file.txt")
    work.commit("three")
    checkout = work.open().checkout(work.open().resolve("main"))
    assert checkout.read("file.txt") == b"three"
    assert checkout.read("app/Dockerfile") == b"two"
    assert checkout.read("link") == b"three"
    for missing in ("nowhere", "app", "app/nowhere", "file.txt/nowhere", "./file.txt", "app/../file.txt"):
        assert checkout.read(missing) is None
    assert checkout.tree("app") == work.git("rev-parse", "HEAD:app")
    assert checkout.tree(".") == work.git("rev-parse", "HEAD^{tree}")
    for missing in ("nowhere", "file.txt"):
        with pytest.raises(ConfigError, match=f"has no folder {missing}"):
            checkout.tree(missing)


def test_a_file_that_is_too_large_is_not_read(work: Work) -> None:
    """People write a few kilobytes."""
    (work.path / "pipeline.yaml").write_text("x" * (4 * 2**20 + 1))
    work.commit("two")
    revision = work.open().resolve("main")
    with pytest.raises(StageFailed, match=r"pipeline\.yaml of commit \w{7} is larger than 4 MiB"):
        work.open().checkout(revision).read("pipeline.yaml")


def test_a_damaged_mirror_fails_the_stage(work: Work) -> None:
    """It says which mirror it is."""
    checkout = work.open().checkout(work.open().resolve("main"))
    (mirror,) = (p for p in work.mirrors.iterdir() if p.suffix == ".git")
    assert checkout.read("file.txt") == b"one"
    for file in (mirror / "objects").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(StageFailed, match="cannot read the mirror"):
        checkout.read("file.txt")
    with pytest.raises(StageFailed, match="cannot read the mirror"), checkout.archive(".") as stream:
        stream.read()
    with pytest.raises(StageFailed, match="cannot read the mirror"):
        work.open().checkout(checkout.revision).tree(".")


def test_a_hooks_object_directory_does_not_mislead_a_read(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the environment of this process stays as it is."""
    (work.root / "other").mkdir()
    other = Work(work.root / "other").path / ".git"
    for name in ("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(other))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / "objects"))
    before = dict(os.environ)
    content = work.commit("only here")
    repository = work.open()
    assert repository.checkout(repository.commit(content, "main")).read("file.txt") == b"only here"
    assert dict(os.environ) == before
