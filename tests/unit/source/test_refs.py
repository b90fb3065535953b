"""Refs are read from every form in which git stores them, and each move is noticed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.base.errors import SystemFault
from stages.source.git import Git
from stages.source.refs import commits, heads, remote_heads
from stages.source.watcher import watch_refs
from tests.support.repository import Work
from tests.support.waiting import until

ALL = ["refs/heads/main", "refs/heads/*", "refs/heads/**", "refs/heads/*/*", "refs/tags/*"]
Look = Callable[[Work, list[str]], dict[str, str]]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def reftable(tmp_path: Path) -> Work:
    """A repository that keeps its refs in tables, where git can: from 2.45 on."""
    if Git(tmp_path).maybe("init", "--quiet", "--bare", "--ref-format=reftable", "probe") is None:
        pytest.skip("this git knows no reftable")
    return Work(tmp_path, "--ref-format=reftable")


def locally(work: Work, patterns: list[str]) -> dict[str, str]:
    """As of a repository on this machine."""
    return heads(work.reader, patterns)


def remotely(work: Work, patterns: list[str]) -> dict[str, str]:
    """As of one behind a URL."""
    return remote_heads(work.reader, f"file://{work.path}", patterns)


looks = pytest.mark.parametrize("look", [locally, remotely])


@looks
def test_a_branch_in_a_file_or_packed(look: Look, work: Work) -> None:
    """And in a file again, when it has moved since it was packed."""
    for content in ("two", "three"):
        assert look(work, ["refs/heads/main"]) == {"refs/heads/main": work.git("rev-parse", "HEAD")}
        work.git("pack-refs", "--all")
        assert look(work, ["refs/heads/main"]) == {"refs/heads/main": work.git("rev-parse", "HEAD")}
        sha = work.commit(content)
        assert look(work, ["refs/heads/main"]) == {"refs/heads/main": sha}


@looks
def test_a_glob_stays_within_its_folder(look: Look, work: Work) -> None:
    """As in a path; a folder below is another pattern's."""
    for name in ("topic", "release/1", "release/2", "release/old/1"):
        work.git("branch", name)

    def found(*patterns: str) -> set[str]:
        return {name.removeprefix("refs/heads/") for name in look(work, [f"refs/heads/{p}" for p in patterns])}

    assert found("*") == {"main", "topic"}
    assert found("release/*") == {"release/1", "release/2"}
    assert found("release/[1]") == {"release/1"}
    assert found("release", "old/1", "release/old") == set()
    assert found("main", "release/*/1") == {"main", "release/old/1"}


@looks
def test_a_tag_is_the_commit_that_it_names(look: Look, work: Work) -> None:
    """By itself, with a message, or by way of another tag."""
    work.git("tag", "light")
    work.git("tag", "-a", "annotated", "-m", "First")
    work.git("tag", "-a", "nested", "-m", "Again", "annotated")
    names = [f"refs/tags/{name}" for name in ("annotated", "light", "nested")]
    for packed in (False, True):
        if packed:
            work.git("pack-refs", "--all")
        for patterns in (names, ["refs/tags/*"]):
            assert look(work, patterns) == dict.fromkeys(names, work.first)


def test_a_tag_of_something_else_is_no_commit(work: Work) -> None:
    """Of a folder or a file: nothing could be run for it."""
    work.git("tag", "tree", "HEAD^{tree}")
    work.git("tag", "-a", "file", "-m", "A file", "HEAD:file.txt")
    assert locally(work, ["refs/tags/*"]) == locally(work, ["refs/tags/tree", "refs/tags/file"]) == {}


@looks
def test_a_name_means_that_ref_only(look: Look, work: Work) -> None:
    """Nobody stands in for it by a longer name, such as a branch that is called `refs/tags/main`."""
    work.git("branch", "refs/tags/main")
    work.git("branch", "refs/heads/topic")
    assert look(work, ["refs/tags/main", "refs/heads/topic"]) == {}


@looks
def test_a_branch_that_is_gone(look: Look, work: Work) -> None:
    """Is not there any more, packed or not; also when its name is now a folder of branches."""
    work.git("branch", "topic")
    work.git("pack-refs", "--all")
    work.git("branch", "-D", "topic")
    work.git("branch", "topic/a")
    assert look(work, ["refs/heads/topic"]) == {}
    assert look(work, ["refs/heads/topic/*"]) == {"refs/heads/topic/a": work.first}


def test_refs_in_tables(reftable: Work) -> None:
    """Names, globs and tags, as with files."""
    reftable.git("tag", "-a", "v1", "-m", "First")
    second = reftable.commit("two")
    assert locally(reftable, ["refs/heads/main", "refs/tags/*"]) == {
        "refs/heads/main": second,
        "refs/tags/v1": reftable.first,
    }


def test_the_commits_of_a_move_along_the_first_parents(work: Work) -> None:
    """The commits of a merged branch are left out. The others come oldest first, without the old end."""
    second = work.commit("two")
    work.git("checkout", "--quiet", "-b", "side")
    work.commit("side", "side.txt")
    work.git("checkout", "--quiet", "main")
    third = work.commit("three")
    work.git("merge", "--quiet", "--no-ff", "-m", "Merge", "side")
    merge = work.git("rev-parse", "HEAD")
    found = commits(work.reader, work.first, merge, "here")
    assert [revision.sha for revision in found] == [second, third, merge]
    assert [revision.subject for revision in found] == ["Say two", "Say three", "Merge"]


def test_the_commits_of_a_move_by_force(work: Work) -> None:
    """The commits that are new on the branch are found. Without any, or with an unknown old end, its end is."""
    work.commit("two")
    old = work.commit("three")
    work.git("reset", "--quiet", "--hard", work.first)
    new = work.commit("other")
    assert [r.sha for r in commits(work.reader, old, new, "")] == [new]
    assert [r.sha for r in commits(work.reader, old, work.first, "")] == [work.first]
    assert [r.sha for r in commits(work.reader, "0" * 39 + "1", new, "")] == [new]
    assert [r.sha for r in commits(work.reader, None, new, "")] == [new]


def test_a_message_is_kept_whole(work: Work) -> None:
    """With its lines, and what is no UTF-8 replaced."""
    work.git("commit", "--quiet", "--allow-empty", "-m", "Ümläut\n\n[skip ci] \x01 body\nmore")
    (revision,) = commits(work.reader, work.first, work.git("rev-parse", "HEAD"), "")
    assert (revision.subject, revision.message) == ("Ümläut", "Ümläut\n\n[skip ci] \x01 body\nmore\n")


class Follower:
    """Looks at the refs whenever it is told that one has moved, and never otherwise."""

    def __init__(self, git: Git, patterns: list[str]) -> None:
        self._git = git
        self._patterns = patterns
        self._moved = threading.Event()
        self._over = False
        self.known = self._look()
        self.told = 0
        self._thread = threading.Thread(target=self._work, daemon=True)

    def tell(self) -> None:
        """Something has moved."""
        self.told += 1
        self._moved.set()

    def await_truth(self) -> None:
        """Until what it knows is so."""
        until(lambda: self.known == self._look(), f"{self.known} to become {self._look()}")

    @contextmanager
    def following(self) -> Iterator[None]:
        """As long as this is entered."""
        self._thread.start()
        try:
            yield
        finally:
            self._over = True
            self._moved.set()
            self._thread.join()

    def _look(self) -> dict[str, str | None]:
        checked_out = self._git.maybe("rev-parse", "HEAD")
        return {**heads(self._git, self._patterns), "HEAD": checked_out}

    def _work(self) -> None:
        while self._moved.wait() and not self._over:
            self._moved.clear()
            self.known = self._look()


@contextmanager
def followed(place: Path) -> Iterator[Follower]:
    """A repository that is watched, at whichever of its places."""
    git = Git(place)
    directory = Path(git("rev-parse", "--path-format=absolute", "--git-common-dir").strip())
    follower = Follower(git, ALL)
    with follower.following(), watch_refs(directory, follower.tell):
        yield follower


def test_every_move_in_a_checkout_is_noticed(work: Work) -> None:
    """Commits, branches, tags, what is checked out; by force, by packing, by leaving."""
    with followed(work.path) as follower:
        for move in (
            ("commit", "--quiet", "--allow-empty", "-m", "Second"),
            ("tag", "-a", "v1", "-m", "First"),
            ("branch", "other", "HEAD~1"),
            ("checkout", "--quiet", "other"),
            ("commit", "--quiet", "--amend", "--allow-empty", "-m", "Moved"),
            ("pack-refs", "--all"),
            ("commit", "--quiet", "--allow-empty", "-m", "After packing"),
            ("checkout", "--quiet", "--detach", "main"),
            ("branch", "--quiet", "-D", "other"),
            ("tag", "-d", "v1"),
            ("reset", "--quiet", "--hard", "HEAD~1"),
            ("branch", "-f", "main", "HEAD"),
        ):
            work.git(*move)
            follower.await_truth()


def test_branches_in_folders_that_come_and_go(work: Work) -> None:
    """Git removes a folder with its last branch, and makes it again for the next: nothing in it is missed."""
    with followed(work.path) as follower:
        for number in range(20):
            work.git("branch", "topic/deep/a", "main~0")
            follower.await_truth()
            work.git("checkout", "--quiet", "topic/deep/a")
            work.commit(f"{number}")
            follower.await_truth()
            work.git("checkout", "--quiet", "main")
            work.git("branch", "-D", "topic/deep/a")
            follower.await_truth()


def test_a_bare_repository_that_is_pushed_to(work: Work) -> None:
    """New branches, moves, and what is deleted."""
    bare = work.root / "bare.git"
    work.git("clone", "--quiet", "--bare", str(work.path), str(bare))
    with followed(bare) as follower:
        for push in (("main",), ("main:topic/a",), ("--force", "main~1:main"), ("--delete", "topic/a")):
            work.commit(" ".join(push))
            work.git("push", "--quiet", str(bare), *push)
            follower.await_truth()


@pytest.mark.parametrize("options", [("-b", "side"), ("--detach",)])
def test_a_linked_worktree(options: tuple[str, ...], work: Work) -> None:
    """A commit made in it, on a branch or on none, is noticed by whoever watches there."""
    linked = work.worktree(*options)
    with followed(linked) as follower:
        for content in ("two", "three"):
            work.commit(content, cwd=linked)
            follower.await_truth()


def test_a_commit_in_a_linked_worktree_is_noticed_in_the_checkout(work: Work) -> None:
    """They share their branches, also where the worktree came later."""
    with followed(work.path) as follower:
        work.commit("two", cwd=work.worktree("-b", "side"))
        follower.await_truth()


def test_moves_in_tables(reftable: Work) -> None:
    """Commits, and tables that become one."""
    with followed(reftable.path) as follower:
        for number in range(5):
            reftable.commit(f"{number}")
            follower.await_truth()
        reftable.git("pack-refs", "--all")
        reftable.commit("after packing")
        follower.await_truth()


def test_what_moves_no_ref_is_not_told(work: Work) -> None:
    """Files, the index and objects are nobody's business; what comes before the next commit is seen with it."""
    with followed(work.path) as follower:
        (work.path / "file.txt").write_text("changed")
        work.git("add", "--all")
        work.git("status")
        work.git("stash", "create")
        assert follower.told == 0
        work.commit("two")
        follower.await_truth()
        assert follower.told <= 10


@pytest.mark.parametrize("number", [28, 24])
def test_no_more_watches(number: int, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's ENOSPC and EMFILE: what to raise."""

    def refuse(*_: object) -> int:
        raise OSError(number, "used up")

    monkeypatch.setattr("watchdog.observers.inotify_c.inotify_add_watch", refuse)
    with pytest.raises(SystemFault) as caught, watch_refs(work.path / ".git", lambda: None):
        pass
    assert caught.value.message == "the kernel's limit of inotify instances or watches is reached"
    assert "fs.inotify.max_user_watches" in caught.value.hint


@pytest.mark.parametrize(
    ("resource", "limit", "said"),
    [
        ("watches", 0, "limit"),
        ("watches", 1, "limit"),
        ("watches", 3, "limit"),
        ("watches", 20, "watching"),
        ("instances", 0, "limit"),
        ("instances", 20, "watching"),
    ],
)
def test_the_kernels_own_limit(resource: str, limit: int, said: str, work: Work) -> None:
    """Also where it is reached in the middle of the repository's folders, of which there are four."""
    script = f"""
from pathlib import Path
from pipeline.base.errors import SystemFault
from stages.source.watcher import watch_refs
try:
    with watch_refs(Path({str(work.path / ".git")!r}), lambda: None):
        print("watching")
except SystemFault as error:
    print(error.message)
"""
    lower = f"echo {limit} > /proc/sys/user/max_inotify_{resource}"
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{lower} || exit 77; exec "$@"', "sh"]
    try:
        done = subprocess.run([*command, sys.executable, "-c", script], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"no limit of one's own can be set here: {done.stderr}")
    assert said in done.stdout, done.stderr
