"""New commits become runs. Refs that a changed pattern matches for the first time do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.runner.context import PipelineContext
from pipeline.runner.ref_tracker import RefTracker
from pipeline.store.records import Trigger
from pipeline.store.store import Store
from stages.source.stage import GitSource
from tests.support.repository import Work

PIPELINE = """\
name: shop
triggers: {triggers}
deploy: {target_group: web}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


class Repository:
    """A repository with a pipeline whose triggers change."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.work = Work(folder)
        self.work.commit("0")
        self._file = folder / "pipeline.yaml"
        self._home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
        self.store = store

    def came(self, triggers: str) -> list[str | None]:
        """The refs of the runs that a look queues."""
        self._file.write_text(PIPELINE.replace("{triggers}", triggers) + f"source: {{repository: {self.work.path}}}\n")
        pipeline_context = PipelineContext(self._home, load(self._file), self.store)
        return [run.ref for run in RefTracker(lambda: pipeline_context, lambda: None).scan(Trigger.POLL)]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with Store(Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")}).database) as store:
        yield Repository(tmp_path, store)


def test_two_scans_at_once_queue_a_commit_once(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ref that a second scan queues between the two reads of the first is not taken for one that is gone."""
    repository.came("{branches: [main, next]}")
    heads, scans = GitSource.heads, iter([lambda: repository.came("{branches: [main, next]}")])

    def scanned_meanwhile(*arguments: Any) -> dict[str, str]:
        found = heads(*arguments)
        for scan in scans:
            repository.work.git("branch", "next")
            assert scan() == ["next"]
        return found

    monkeypatch.setattr(GitSource, "heads", scanned_meanwhile)
    assert repository.came("{branches: [main, next]}") == []
    assert repository.came("{branches: [main, next]}") == []


def test_a_repository_that_has_no_refs_for_a_while(repository: Repository) -> None:
    """While it is cloned again it has none. Its commits are not run a second time, and the next one is."""
    triggers = "{branches: [main, next]}"
    repository.work.git("branch", "next")
    assert repository.came(triggers) == ["main", "next"]
    git = repository.work.path / ".git"
    (git / "refs" / "heads").rename(git / "away")
    (git / "refs" / "heads").mkdir()
    assert repository.came(triggers) == []
    (git / "refs" / "heads").rmdir()
    (git / "away").rename(git / "refs" / "heads")
    assert repository.came(triggers) == []
    repository.work.commit("1")
    assert repository.came(triggers) == ["main"]


def events(repository: Repository) -> list[str]:
    return [e.message for _, e in repository.store.events.after("shop", 0, 100) if e.kind == "trigger.refs_skipped"]


def test_releases_of_old_are_not_run(repository: Repository) -> None:
    """At the very first look the branch that is named is run; of tags that a glob means, those that come later."""
    for tag in ("v1", "v2"):
        repository.work.git("tag", tag)
    triggers = '{branches: [main], tags: ["v*"]}'
    assert repository.came(triggers) == ["main"]
    (told,) = events(repository)
    assert told == "not run: these refs existed before the triggers pattern matched them: v1, v2"
    assert repository.came(triggers) == []
    repository.work.commit("1")
    repository.work.git("tag", "v3")
    assert repository.came(triggers) == ["main", "v3"]
    assert len(events(repository)) == 1


def test_a_glob_that_is_added(repository: Repository) -> None:
    """Branches that are there are watched from then on, and run when they move; one that comes is run at once."""
    repository.work.git("branch", "release/1")
    assert repository.came("{branches: [main]}") == ["main"]
    triggers = '{branches: [main, "release/*"]}'
    assert repository.came(triggers) == []
    repository.work.git("branch", "release/2")
    assert repository.came(triggers) == ["release/2"]
    repository.work.git("checkout", "-q", "release/1")
    repository.work.commit("1")
    assert repository.came(triggers) == ["release/1"]


def test_a_branch_that_is_added(repository: Repository) -> None:
    """It is named, and so is run."""
    repository.work.git("branch", "develop")
    assert repository.came("{branches: [main]}") == ["main"]
    assert repository.came("{branches: [main, develop]}") == ["develop"]


def test_a_glob_that_was_away(repository: Repository) -> None:
    """Refs that appeared meanwhile are not run when the pattern is added again."""
    triggers = '{branches: [main, "release/*"]}'
    assert repository.came(triggers) == ["main"]
    assert repository.came("{branches: [main]}") == []
    repository.work.git("branch", "release/1")
    assert repository.came(triggers) == []
    assert len(events(repository)) == 1
