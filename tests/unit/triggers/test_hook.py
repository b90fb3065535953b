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
    kept = [path.read_text() for path in (hook, hook.parent / "before-penstock" / "post-commit")]
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


def hook_of(found: Work, kind: str = "post-commit") -> Path:
    """Return the path of a hook, in a folder that exists."""
    path = found.path / ".git" / "hooks" / kind
    path.parent.mkdir(exist_ok=True)
    return path


def executable(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("form", ["file", "link to a neighbour", "link to another folder", "absolute link"])
def test_a_hook_sees_its_own_name_and_its_neighbours(tmp_path: Path, home: Home, form: str) -> None:
    """Dispatchers such as overcommit read their task from `$0`, and others call files beside themselves."""
    found = work(tmp_path, "one")
    hook, ran = hook_of(found), tmp_path / "ran"
    executable(hook.with_name("helper"), f'echo "$1" >> "{ran}"')
    elsewhere = tmp_path / "tools" / "dispatcher"
    elsewhere.parent.mkdir()
    place = {"file": hook, "link to a neighbour": hook.with_name("dispatcher")}.get(form, elsewhere)
    executable(place, '"$(dirname "$0")/helper" "$(basename "$0")"')
    texts = {
        "link to a neighbour": "dispatcher",
        "link to another folder": "../../../../tools/dispatcher",
        "absolute link": str(elsewhere),
    }
    if form in texts:
        hook.symlink_to(texts[form])
    install(found.path, home)
    found.commit("new")
    assert ran.read_text() == "post-commit\n"
    assert reported(home) == [str(found.path / ".git")]
    assert uninstall(found.path, home)
    found.commit("newer")
    assert ran.read_text() == "post-commit\n" * 2
    assert not (hook.parent / "before-penstock").exists()
    assert form not in texts or str(hook.readlink()) == texts[form]


def test_each_of_several_hooks_runs_its_own_previous_one(tmp_path: Path, home: Home) -> None:
    """One of them links to another one. None is run by the hook that took its name."""
    found, ran = work(tmp_path, "one"), tmp_path / "ran"
    executable(hook_of(found), f'basename "$0" >> "{ran}"')
    hook_of(found, "post-rewrite").symlink_to("post-commit")
    install(found.path, home)
    install(found.path, home)
    found.git("commit", "--quiet", "--amend", "--allow-empty", "-m", "other")
    assert sorted(ran.read_text().split()) == ["post-commit", "post-rewrite"]
    for kind in ("post-commit", "post-merge", "post-rewrite"):
        assert uninstall(found.path, home, kind)
    kept = {path.name for path in hook_of(found).parent.iterdir() if path.suffix != ".sample"}
    assert kept == {"post-commit", "post-rewrite"}
    assert str(hook_of(found, "post-rewrite").readlink()) == "post-commit"


@pytest.mark.parametrize("text", ["/nowhere/hook", "../nowhere", "nowhere"])
def test_a_link_that_leads_nowhere_is_kept(tmp_path: Path, home: Home, text: str) -> None:
    """Its disk may not be mounted now."""
    found = work(tmp_path, "one")
    hook = hook_of(found)
    hook.symlink_to(text)
    install(found.path, home)
    found.commit("new")
    assert reported(home) == [str(found.path / ".git")]
    assert uninstall(found.path, home)
    assert str(hook.readlink()) == text


@pytest.mark.parametrize("installed_again", [False, True])
def test_a_previous_hook_that_an_earlier_version_kept(tmp_path: Path, home: Home, installed_again: bool) -> None:
    """It runs, after another installation under its own name, and uninstalling restores it."""
    found, ran = work(tmp_path, "one"), tmp_path / "ran"
    hook = hook_of(found)
    executable(hook, FORMER.format(repository=found.path / ".git", spool=f"'{home.spool}'"))
    executable(hook.with_name("post-commit.before-penstock"), f'basename "$0" >> "{ran}"')
    if installed_again:
        install(found.path, home)
        found.commit("new")
        assert ran.read_text() == "post-commit\n"
    assert uninstall(found.path, home)
    found.commit("newer")
    assert ran.read_text().endswith("post-commit\n")
    assert [path.name for path in hook.parent.glob("*before-penstock*")] == []


def test_a_repository_that_was_moved(tmp_path: Path, home: Home) -> None:
    """Its previous place leaves its hook, so nothing is left after uninstalling."""
    found = work(tmp_path, "one")
    install(found.path, home)
    found.path.rename(tmp_path / "two")
    moved = Work.__new__(Work)
    moved.path = tmp_path / "two"
    install(moved.path, home)
    moved.commit("new")
    assert reported(home) == [str(moved.path / ".git")]
    assert uninstall(moved.path, home)
    assert not hook_of(moved).exists()


def test_the_entry_of_a_missing_repository_stays_in_a_shared_folder(tmp_path: Path, home: Home) -> None:
    """It may be on a disk that is not mounted."""
    works = [work(tmp_path, name) for name in ("one", "two")]
    for each in works:
        each.git("config", "core.hooksPath", str(tmp_path / "shared"))
        install(each.path, home)
    works[0].path.rename(tmp_path / "away")
    assert uninstall(works[1].path, home)
    (tmp_path / "away").rename(works[0].path)
    works[0].commit("new")
    assert reported(home) == [str(works[0].path / ".git")]


def test_a_repository_within_its_own_working_tree(tmp_path: Path, home: Home) -> None:
    """Files of a home directory are often kept so. Git tracks nothing in the repository's folder."""
    dotfiles = tmp_path / ".dotfiles"
    git = ["git", f"--git-dir={dotfiles}", f"--work-tree={tmp_path}", "-c", "user.name=A", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "--quiet", "--bare", str(dotfiles)], check=True)
    subprocess.run([*git, "config", "core.bare", "false"], check=True)
    subprocess.run([*git, "config", "core.worktree", str(tmp_path)], check=True)
    install(dotfiles, home)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "new"], check=True)
    assert reported(home) == [str(dotfiles)]
    assert uninstall(dotfiles, home)


def test_a_line_break_in_the_path_is_refused(tmp_path: Path, home: Home) -> None:
    """A message to the daemon is one line. Other separators of lines are no line break to git and to the shell."""
    with pytest.raises(ConfigError, match="must not contain a line break"):
        install(work(tmp_path, "one\ntwo").path, home)
    found = work(tmp_path, "one\u2028two\x0bthree")
    install(found.path, home)
    found.commit("new")
    assert reported(home) == [str(found.path / ".git")]
