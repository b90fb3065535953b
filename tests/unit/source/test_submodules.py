"""The files of submodules are in the build context, or the reason why they are not."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.errors import PenstockError
from pipeline.engine.docker.ignore import DockerIgnore
from stages.source.checkout import GitCheckout
from tests.support.repository import Work


@pytest.fixture
def lib(tmp_path: Path) -> Work:
    """A repository that others have as a submodule."""
    (tmp_path / "lib").mkdir()
    return Work(tmp_path / "lib")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def files(checkout: GitCheckout, folder: str = ".", ignored: Callable[[str], bool] = lambda _: False) -> dict[str, str]:
    """Return the content of each file of the archive."""
    with checkout.archive(folder, ignored) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        return {m.name: file.read().decode() for m in tar if m.isfile() and (file := tar.extractfile(m))}


def opened(work: Work, named: str = "work") -> GitCheckout:
    """Return the newest commit of `main`."""
    repository = work.open(named)
    return repository.checkout(repository.resolve("main"))


def add(work: Work, url: str, path: str, cwd: Path | None = None) -> None:
    """Add a submodule and commit it."""
    work.git("submodule", "--quiet", "add", url, path, cwd=cwd)
    work.git("commit", "--quiet", "-m", "Add a submodule", cwd=cwd)


def test_a_submodule_is_filled_in(work: Work, lib: Work) -> None:
    """In any folder, and with the folder as the context."""
    add(work, str(lib.path), "vendor/lib")
    checkout = opened(work)
    assert files(checkout) == {
        "file.txt": "one",
        "vendor/lib/file.txt": "one",
        ".gitmodules": checkout.read(".gitmodules").decode(),  # type: ignore[union-attr]
    }
    assert files(checkout, "vendor") == {"lib/file.txt": "one"}
    assert files(checkout, "vendor/lib") == {"file.txt": "one"}
    assert checkout.read("vendor/lib/file.txt") == b"one"
    assert checkout.tree("vendor/lib") == lib.git("rev-parse", "HEAD^{tree}")


def test_the_commit_is_the_recorded_one(work: Work, lib: Work) -> None:
    """Not the newest of the submodule, and also one that only the user's clone has."""
    add(work, str(lib.path), "lib")
    lib.commit("two")
    assert files(opened(work))["lib/file.txt"] == "one"
    work.commit("three", cwd=work.path / "lib")
    work.git("commit", "--quiet", "-a", "-m", "Move")
    assert files(opened(work))["lib/file.txt"] == "three"


def test_nested_submodules(work: Work, lib: Work, tmp_path: Path) -> None:
    """A submodule of a submodule."""
    (tmp_path / "middle").mkdir()
    middle = Work(tmp_path / "middle")
    add(middle, str(lib.path), "inner")
    add(work, str(middle.path), "outer")
    work.git("submodule", "--quiet", "update", "--init", "--recursive")
    assert files(opened(work))["outer/inner/file.txt"] == "one"


@pytest.fixture
def served(work: Work, lib: Work) -> Path:
    """A folder of bare repositories: `app.git` has `lib.git` as a submodule with a relative URL."""
    folder = work.root / "served"
    folder.mkdir()
    lib.git("clone", "--quiet", "--bare", str(lib.path), str(folder / "lib.git"))
    work.git("clone", "--quiet", "--bare", str(work.path), str(folder / "app.git"))
    work.git("remote", "add", "origin", str(folder / "app.git"))
    add(work, "../lib.git", "lib")
    work.git("push", "--quiet", "origin", "main")
    shutil.rmtree(lib.path)
    return folder


@pytest.mark.parametrize("named", ["{}/app.git", "file://{}/app.git"])
def test_a_relative_url_beside_the_repository(named: str, work: Work, served: Path) -> None:
    """It is resolved against the address of the repository."""
    assert files(opened(work, named.format(served)))["lib/file.txt"] == "one"


def test_a_relative_url_in_a_fresh_clone(work: Work, served: Path) -> None:
    """It is relative to the clone's remote, as in git."""
    work.git("clone", "--quiet", str(served / "app.git"), str(work.root / "clone"))
    assert files(opened(work, "clone"))["lib/file.txt"] == "one"


def test_a_path_in_a_commit_is_read_only_if_git_allows_it(
    work: Work, lib: Work, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A commit cannot have another repository of the machine shipped, unless the user's git says so."""
    add(work, str(lib.path), "lib")
    bare = work.root / "bare.git"
    work.git("clone", "--quiet", "--bare", str(work.path), str(bare))
    with pytest.raises(PenstockError) as caught:
        files(opened(work, str(bare)))
    assert caught.value.message.startswith("submodule lib of commit ")
    assert "transport 'file' not allowed" in caught.value.message
    assert "protocol.file.allow" in str(caught.value.hint)
    (tmp_path / "settings").write_text('[protocol "file"]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    assert files(opened(work, str(bare)))["lib/file.txt"] == "one"


def test_the_users_url_comes_first(work: Work, lib: Work) -> None:
    """The URL in the repository's own settings is used, not that of the commit."""
    add(work, str(lib.path), "lib")
    moved = lib.path.rename(lib.root / "moved")
    shutil.rmtree(work.path / ".git" / "modules")
    work.git("config", "submodule.lib.url", str(moved))
    assert files(opened(work))["lib/file.txt"] == "one"


def test_a_folder_of_a_submodule_without_a_url(work: Work, lib: Work) -> None:
    """A repository that was added as a folder is refused with its path, unless it is not in the context."""
    work.git("clone", "--quiet", str(lib.path), "embedded")
    work.commit("two", "app/main.txt")
    checkout = opened(work)
    with pytest.raises(PenstockError) as caught:
        files(checkout)
    assert caught.value.message.startswith("submodule embedded of commit ")
    assert caught.value.message.endswith(".gitmodules has no URL for it")
    assert files(checkout, "app") == {"main.txt": "two"}
    assert files(checkout, ignored=DockerIgnore("embedded").excludes)["app/main.txt"] == "two"


def test_a_commit_that_was_not_pushed(work: Work, lib: Work) -> None:
    """The error has the path, the id and the address."""
    add(work, str(lib.path), "lib")
    work.git("submodule", "--quiet", "deinit", "--force", "lib")
    shutil.rmtree(work.path / ".git" / "modules")
    work.git("config", "submodule.lib.url", str(lib.path))
    work.git("update-index", "--cacheinfo", f"160000,{'12' * 20},lib")
    work.git("commit", "--quiet", "-m", "Move")
    with pytest.raises(PenstockError) as caught:
        files(opened(work))
    assert f"has no commit {'12' * 20}" in caught.value.message
    assert caught.value.message.startswith("submodule lib of commit ")


def test_gitmodules_without_a_submodule(work: Work) -> None:
    """An entry that the commit has nothing for does not matter."""
    work.commit('[submodule "gone"]\n\tpath = gone\n\turl = /nowhere\n', ".gitmodules")
    assert set(files(opened(work))) == {".gitmodules", "file.txt"}


def test_names_as_git_quotes_them(work: Work, lib: Work) -> None:
    """A path with spaces and letters of any language."""
    add(work, str(lib.path), "mit Leerzeichen/bücher")
    assert files(opened(work))["mit Leerzeichen/bücher/file.txt"] == "one"


def record(work: Work, name: str, url: str, sha: str) -> None:
    """Commit a submodule as a crafted commit has it."""
    (work.path / ".gitmodules").write_text(f'[submodule "{name}"]\n\tpath = lib\n\turl = {url}\n')
    work.git("add", "--all")
    work.git("update-index", "--add", "--cacheinfo", f"160000,{sha},lib")
    work.git("commit", "--quiet", "-m", "Add")


@pytest.mark.parametrize("name", ["../../../lib/work/.git", "{lib}/.git", "a/../../../../lib/work/.git"])
def test_a_name_that_leads_elsewhere(name: str, work: Work, lib: Work) -> None:
    """The name of a submodule comes from a commit, and does not choose a folder outside of the repository's own."""
    record(work, name.format(lib=lib.path), "https://127.0.0.1:1/lib.git", lib.first)
    with pytest.raises(PenstockError, match="cannot fetch https://127"):
        files(opened(work))


@pytest.mark.parametrize(
    "url",
    [
        "../../lib/work",
        "../x/../../lib/work",
        "../link",
        "../%2e%2e/lib/work",
        "file://{lib}",
        "{lib}",
        "../x/%2E./../lib/work",
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_url_that_leads_elsewhere(url: str, scheme: str, work: Work, lib: Work) -> None:
    """A URL from a commit reads nothing outside of the folder that has the repository."""
    folder = work.root / "served"
    (folder / "x").mkdir(parents=True)
    (folder / "link").symlink_to(lib.path)
    work.git("clone", "--quiet", "--bare", str(work.path), str(folder / "app.git"))
    work.git("remote", "add", "origin", str(folder / "app.git"))
    record(work, "lib", url.format(lib=lib.path), lib.first)
    work.git("push", "--quiet", "origin", "main")
    with pytest.raises(PenstockError) as caught:
        files(opened(work, f"{scheme}{folder}/app.git"))
    assert "transport 'file' not allowed" in caught.value.message or "does not exist" in caught.value.message


@pytest.mark.parametrize("url", ["lib", "-oProxyCommand=true:lib", "--upload-pack=true"])
def test_a_url_that_is_none(url: str, work: Work, lib: Work) -> None:
    """A path relative to nothing, and what looks like an option, are refused."""
    record(work, "lib", url, lib.first)
    with pytest.raises(PenstockError, match=r"neither a URL nor an absolute path|strange hostname"):
        files(opened(work))


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        ("*\n!vendor/lib/file.txt", ["vendor/lib/file.txt"]),
        ("*\n!**/file.txt", ["file.txt"]),
        ("vendor/lib/more.txt", [".gitmodules", "file.txt", "vendor/lib/file.txt"]),
        ("vendor", [".gitmodules", "file.txt"]),
    ],
)
def test_exceptions_of_dockerignore(ignore: str, expected: list[str], work: Work, lib: Work) -> None:
    """A submodule is filled in if an exception includes a file of it, and not if all of it is excluded."""
    lib.commit("two", "more.txt")
    add(work, str(lib.path), "vendor/lib")
    excludes = DockerIgnore(ignore).excludes
    assert sorted(name for name in files(opened(work), ignored=excludes) if not excludes(name)) == expected


def test_a_clone_of_a_linked_worktree(work: Work, lib: Work, tmp_path: Path) -> None:
    """Its own clones have commits that were not pushed, and so may those of the repository."""
    add(work, str(lib.path), "lib")
    place = work.worktree("-b", "other")
    work.git("submodule", "--quiet", "update", "--init", cwd=place)
    for folder, branch in ((place, "other"), (work.path, "main")):
        lib.commit(branch, cwd=folder / "lib")
        work.git("commit", "--quiet", "--all", "-m", "Unpushed", cwd=folder)
        repository = work.open(str(place))
        assert files(repository.checkout(repository.resolve(branch)))["lib/file.txt"] == branch


@pytest.mark.parametrize("folder", [".", "vendor", "vendor/lib", "vendor/lib/app"])
def test_an_error_within_a_submodule(folder: str, work: Work, lib: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins with the submodule, whatever the context is."""
    lib.commit(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 5\n", "app/big.bin")
    add(work, str(lib.path), "vendor/lib")
    checkout = opened(work)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(PenstockError) as caught:
        files(checkout, folder)
    begin = f"submodule vendor/lib of commit {checkout.revision.short}: app/big.bin of commit "
    assert caught.value.message.startswith(begin)
