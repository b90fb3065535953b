"""Git hooks in folders that repositories, homes and other tools share."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.triggers.hook import GitHooks
from tests.support.repository import Work

# A hook of version 0.1.0 for the repository and the spool, both quoted for the shell.
FORMER = """\
#!/bin/sh
# Penstock: notifies `pipeline serve` of new commits in {repository}.
# Written by `pipeline hook install`, removed by `pipeline hook uninstall`.
status=0
refs=""
spool={spool}
printf '%s\\n' {repository} > "$spool/.$$" && mv "$spool/.$$" "$spool/$$"
exit "$status"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate({"PENSTOCK_HOME": str(tmp_path / "a home")})


def work(root: Path, name: str) -> Work:
    (root / name).mkdir()
    return Work(root / name)


def install(place: Path, home: Home, *kinds: str) -> list[Path]:
    found = GitHooks.find(place)
    return found.install(kinds or found.default_types(), home)


def uninstall(place: Path, home: Home, kind: str = "post-commit") -> bool:
    return GitHooks.find(place).uninstall(kind, home)


def reported(home: Home) -> list[str]:
    """Return the repositories in the spool, and empty it."""
    files = list(home.spool.iterdir())
    found = sorted(file.read_text().strip() for file in files)
    for file in files:
        file.unlink()
    return found


def test_one_hook_serves_the_repositories_that_share_it(tmp_path: Path, home: Home) -> None:
    """Each reports its own commits, and a third repository none. Uninstalling one leaves the other."""
    works = [work(tmp_path, name) for name in ("one", "it's two", "three")]
    for each in works:
        each.git("config", "core.hooksPath", str(tmp_path / "shared hooks"))
    for each in works[:2]:
        install(each.path, home)
    for each in works:
        each.commit("new")
    git_directories = sorted(str(each.path / ".git") for each in works[:2])
    assert reported(home) == git_directories
    assert uninstall(works[0].path, home)
    assert not uninstall(works[0].path, home)
    for each in works:
        each.commit("newer")
    assert reported(home) == [str(works[1].path / ".git")]
    assert uninstall(works[1].path, home)
    assert not (tmp_path / "shared hooks" / "post-commit").exists()


def test_one_hook_serves_the_homes_of_a_repository(tmp_path: Path, home: Home) -> None:
    """The second home does not take the reports of the first, and removes only its own entry."""
    found, other = work(tmp_path, "one"), Home.locate({"PENSTOCK_HOME": str(tmp_path / "other")})
    install(found.path, home)
    install(found.path, other)
    install(found.path, other)
    found.commit("new")
    assert (len(reported(home)), len(reported(other))) == (1, 1)
    assert uninstall(found.path, other)
    found.commit("newer")
    assert (len(reported(home)), len(reported(other))) == (1, 0)


@pytest.mark.parametrize("place", [".husky/_", ".husky/../hooks", "."])
def test_a_folder_of_the_working_tree_is_refused(tmp_path: Path, home: Home, place: str) -> None:
    """Git tracks it, or a tool writes it. No file is touched, and the error names the command to call instead."""
    found = work(tmp_path, "one")
    hook = found.path / place / "post-commit"
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n")
    found.git("add", "--all")
    found.git("commit", "--quiet", "-m", "Add hooks")
    found.git("config", "core.hooksPath", place)
    (found.path / "sub").mkdir()
    for start in (found.path, found.path / "sub"):
        with pytest.raises(ConfigError, match="belongs to a working tree") as caught:
            install(start, home)
        assert "pipeline hook notify" in str(caught.value)
    assert found.git("status", "--porcelain") == ""


def test_a_link_to_a_folder_of_the_working_tree_is_refused(tmp_path: Path, home: Home) -> None:
    """As where `.git/hooks` is a link to a tracked folder."""
    found = work(tmp_path, "one")
    found.commit("#!/bin/sh\n", "hooks/post-commit")
    hooks = found.path / ".git" / "hooks"
    if hooks.exists():
        hooks.rename(tmp_path / "templates")
    hooks.symlink_to(found.path / "hooks")
    with pytest.raises(ConfigError, match="belongs to a working tree"):
        install(found.path, home)
    assert found.git("status", "--porcelain") == ""


def test_a_link_to_a_tracked_file_is_kept(tmp_path: Path, home: Home) -> None:
    """The link is moved, not the file that it names, and it runs first."""
    found = work(tmp_path, "one")
    found.commit("#!/bin/sh\necho ran > ran.txt\n", "scripts/post-commit")
    (found.path / "scripts" / "post-commit").chmod(0o755)
    found.commit("more")
    hook = found.path / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.symlink_to("../../scripts/post-commit")
    install(found.path, home)
    found.commit("again")
    assert (found.path / "ran.txt").read_text() == "ran\n"
    assert reported(home) == [str(found.path / ".git")]
    assert uninstall(found.path, home)
    assert str(hook.readlink()) == "../../scripts/post-commit"


def test_hooks_that_are_off(tmp_path: Path, home: Home) -> None:
    """With core.hooksPath at /dev/null, git runs no hook."""
    found = work(tmp_path, "one")
    found.git("config", "core.hooksPath", "/dev/null")
    with pytest.raises(ConfigError, match="git runs no hooks"):
        install(found.path, home)


def test_the_hook_from_before_is_never_lost(tmp_path: Path, home: Home) -> None:
    """Another tool replaced Penstock's hook. A second installation would overwrite the one that was kept."""
    found = work(tmp_path, "one")
    hook = found.path / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n# mine\n")
    install(found.path, home)
    hook.write_text("#!/bin/sh\n# of another tool\n")
    with pytest.raises(ConfigError, match="another tool has replaced"):
        install(found.path, home)
    assert not uninstall(found.path, home)
    kept = [path.read_text() for path in (hook, hook.with_name("post-commit.before-penstock"))]
    assert kept == ["#!/bin/sh\n# of another tool\n", "#!/bin/sh\n# mine\n"]


def test_a_hook_of_version_0_1_0_is_upgraded(tmp_path: Path, home: Home) -> None:
    """Its repository stays in the hook that another repository shares."""
    works = [work(tmp_path, name) for name in ("one", "two")]
    hooks = tmp_path / "shared"
    hooks.mkdir()
    former = hooks / "post-commit"
    former.write_text(FORMER.format(repository=works[0].path / ".git", spool=f"'{home.spool}'"))
    former.chmod(0o755)
    for each in works:
        each.git("config", "core.hooksPath", str(hooks))
    install(works[1].path, home, "post-commit")
    for each in works:
        each.commit("new")
    assert reported(home) == sorted(str(each.path / ".git") for each in works)


def test_linked_worktrees_report_their_repository(tmp_path: Path, home: Home) -> None:
    """The hook runs for commits in each of them."""
    found = work(tmp_path, "one")
    install(found.path, home)
    found.commit("new", cwd=found.worktree("-b", "other"))
    assert reported(home) == [str(found.path / ".git")]


def test_a_failing_hook_from_before(tmp_path: Path, home: Home) -> None:
    """Git gets its exit status, and its input. The commit is reported anyway."""
    found = work(tmp_path, "one")
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    hook = bare / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ncat > '{tmp_path}/input'\nexit 3\n")
    hook.chmod(0o755)
    install(bare, home)
    found.git("push", "--quiet", str(bare), "main")
    assert (tmp_path / "input").read_text().endswith("refs/heads/main\n")
    assert reported(home) == [str(bare)]


def test_a_hook_of_the_user_notifies(tmp_path: Path, home: Home) -> None:
    """`pipeline hook notify` writes what Penstock's hook writes."""
    found = work(tmp_path, "one")
    GitHooks.find(found.path).notify(home)
    assert reported(home) == [str(found.path / ".git")]
