"""The Source stage: a commit that is found once for a run, and whether it needs one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.api import NothingToDo, StageContext, Wanted
from pipeline.base.errors import ConfigError, PenstockError
from pipeline.base.home import Home
from pipeline.config.load import CommittedFile, Configuration, load
from pipeline.runner.commit_configuration import merge_commit_config
from pipeline.runner.context import PipelineContext
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from stages.source import GitSource
from tests.support.repository import Work

PIPELINE = """\
name: shop
source: {repository: work, paths: ["app/**"]}
deploy: {target_group: web}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def context(work: Work, tmp_path: Path) -> Iterator[StageContext]:
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE)
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield PipelineContext(home, load(file), store).stage_context(run=1)


def unset(tmp_path: Path, *, triggers: str = "") -> Configuration:
    """Return a file without `source.branch`."""
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"{PIPELINE}{triggers}")
    return load(file)


def heads(context: StageContext) -> dict[str, str]:
    """Return the refs that start runs."""
    return GitSource().heads(context, GitSource().patterns(context))


def test_without_a_branch_the_usual_ones_of_git_are_tried(work: Work, tmp_path: Path) -> None:
    """It is `main`, also if another branch is checked out, and `master` only in a repository without `main`."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        context = PipelineContext(home, unset(tmp_path), store).stage_context(run=1)
        work.git("checkout", "--quiet", "-b", "master")
        newer = work.commit("two")
        assert GitSource().find(context, Wanted()).revision.ref == "main"
        assert heads(context) == {"refs/heads/main": work.first}
        work.git("branch", "--delete", "main")
        found = GitSource().find(context, Wanted()).revision
        assert (found.ref, found.sha) == ("master", newer)
        assert heads(context) == {"refs/heads/master": newer}
        work.git("tag", "main", work.first)
        assert GitSource().find(context, Wanted()).revision.sha == work.first
        assert heads(context) == {"refs/tags/main": work.first}


def test_a_branch_that_is_set_is_the_only_one(work: Work, tmp_path: Path) -> None:
    """Also if it is `main`: the error names the branches that there are."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE.replace("repository: work", "repository: work, branch: main"))
    work.git("branch", "--move", "master")
    with Store(home.database) as store:
        context = PipelineContext(home, load(file), store).stage_context(run=1)
        with pytest.raises(ConfigError) as caught:
            GitSource().find(context, Wanted())
        assert heads(context) == {}
    assert caught.value.message == f"there is no branch, tag or commit main in {work.path}/.git"


def test_triggers_that_name_both_branches_run_both(work: Work, tmp_path: Path) -> None:
    """Only the default is one of them."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    work.git("branch", "master")
    with Store(home.database) as store:
        triggers = "triggers: {branches: [main, master]}\n"
        context = PipelineContext(home, unset(tmp_path, triggers=triggers), store).stage_context(run=1)
        assert set(heads(context)) == {"refs/heads/main", "refs/heads/master"}


def serve(context: StageContext, sha: str) -> None:
    """Make a commit the active release."""
    store = context.store
    release = store.releases.create("shop", 1, sha=sha, subject="Say", image_id="i", image_tag="t", spec="{}")
    store.deployments.finish(store.deployments.begin("shop", 1, None, release.number), DeploymentState.SUCCEEDED)


def test_the_file_and_the_commit_of_a_run_belong_together(work: Work, context: StageContext) -> None:
    """A ref that moves after the pipeline.yaml was read does not give the run a later commit."""
    first = work.commit("name: shop", "pipeline.yaml")
    source = GitSource()
    file = source.pipeline_file(context, Wanted())
    work.commit("name: blog", "pipeline.yaml")
    found = source.find(context, Wanted(force=True))
    assert file is not None
    assert (file.content, found.revision.sha) == (b"name: shop", first)
    assert GitSource().find(context, Wanted()).revision.sha != first


def test_a_commit_that_was_found_is_not_looked_for_again(
    work: Work, context: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the pipeline.yaml of a commit was read, the commit is found without git."""
    source, wanted = GitSource(), Wanted(sha=work.first, ref="main")
    source.pipeline_file(context, wanted)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source.find(context, wanted).revision.sha == work.first


def test_another_commit_is_found_by_the_same_object(work: Work, context: StageContext) -> None:
    """Only the same wish is answered from memory."""
    source = GitSource()
    second = work.commit("two")
    assert source.find(context, Wanted(sha=work.first, ref="main")).revision.sha == work.first
    assert source.find(context, Wanted(sha=second, ref="main")).revision.sha == second


def test_a_commit_that_changes_no_path_needs_no_run(work: Work, context: StageContext) -> None:
    """Unless it is forced, or nothing is active that it could be compared with."""
    assert not isinstance(GitSource().find(context, Wanted()), NothingToDo)
    serve(context, work.first)
    second = work.commit("two")
    found = GitSource().find(context, Wanted())
    assert isinstance(found, NothingToDo)
    assert found.revision.sha == second
    assert found.reason == f"{second[:7]} changes nothing under app/** since release 1 (--force runs it)"
    assert not isinstance(GitSource().find(context, Wanted(force=True)), NothingToDo)
    work.commit("three", "app/main.py")
    assert not isinstance(GitSource().find(context, Wanted()), NothingToDo)


def test_a_plan_has_the_commit_even_if_it_needs_no_run(work: Work, context: StageContext) -> None:
    """So that the plan of the later stages can be shown."""
    serve(context, work.first)
    second = work.commit("two")
    plan = GitSource().plan(context, Wanted())
    assert plan.made.revision.sha == second
    assert plan.steps[0] == f"run {second[:7]} on main: Say two (Ann)"
    assert plan.steps[1].startswith("… but skip it: ")


@pytest.mark.parametrize(
    ("changes", "expected"), [(0, None), (1, "1 uncommitted change"), (3, "3 uncommitted changes")]
)
def test_a_plan_says_what_is_not_committed(
    changes: int, expected: str | None, work: Work, context: StageContext
) -> None:
    """A plan counts the changes that a run leaves out, as a run does."""
    for number in range(changes):
        (work.path / f"new-{number}.txt").write_text("new")
    steps = GitSource().plan(context, Wanted()).steps
    assert steps[1:] == ([f"{expected} in the checkout: not part of this run"] if expected else [])


@pytest.mark.parametrize(
    ("branch", "patterns"),
    [
        ("main", ["refs/heads/main", "refs/tags/main"]),
        ("refs/heads/main", ["refs/heads/main"]),
        ("refs/tags/v1", ["refs/tags/v1"]),
        ("HEAD", ["HEAD"]),
        ("@", ["HEAD"]),
    ],
)
def test_the_refs_that_source_branch_means(branch: str, patterns: list[str], work: Work, tmp_path: Path) -> None:
    """A full ref means itself, and `@` what is checked out."""
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE.replace("repository: work", f'repository: work, branch: "{branch}"'))
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        context = PipelineContext(home, load(file), store).stage_context(run=1)
        work.git("tag", "v1")
        assert GitSource().patterns(context) == patterns
        assert set(GitSource().heads(context, patterns).values()) == {work.first}


def test_a_password_in_the_url_is_masked_everywhere(work: Work, tmp_path: Path) -> None:
    """Errors, events and what a tool prints show nothing of it, however it is encoded, also with a commit's file."""
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE.replace("repository: work", 'repository: "https://ann:hun%40ter%2Ftwo@127.0.0.1:1/a.git"'))
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        context = PipelineContext(home, load(file), store)
        assert context.mask("hun@ter/two hun%40ter%2Ftwo") == "*** ***"
        committed = CommittedFile("abc:pipeline.yaml", PIPELINE.encode())
        merged = merge_commit_config(context.configuration, committed, {})
        assert PipelineContext(home, merged, store).mask("hun@ter/two") == "***"
        with pytest.raises(PenstockError) as caught:
            GitSource().find(context.stage_context(run=1), Wanted())
    assert "hun" not in str(caught.value)


WITH_FILES = PIPELINE.replace("target_group: web}", "target_group: web, env_file: [app.env, ../common.env]}", 1)


def environment_of(work: Work, context: StageContext) -> dict[str, str]:
    """Return the variables of `deploy` in the pipeline.yaml of the newest commit."""
    found = GitSource().pipeline_file(context, Wanted())
    assert found is not None
    return merge_commit_config(context.configuration, found, {}).pipeline.deploy.environment


@pytest.fixture
def in_folder(work: Work, tmp_path: Path) -> Iterator[StageContext]:
    """Return the context of a pipeline.yaml in the folder `deploy` of the repository."""
    file = work.path / "deploy" / "pipeline.yaml"
    file.parent.mkdir()
    file.write_text(PIPELINE.replace("repository: work", "repository: .."))
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield PipelineContext(home, load(file), store).stage_context(run=1)


def test_environment_files_are_those_of_the_commit(work: Work, in_folder: StageContext) -> None:
    """Relative to its pipeline.yaml, and never from the checkout. Links within the repository are followed."""
    (work.path / "real.env").write_text("B=2\n")
    (work.path / "common.env").symlink_to("real.env")
    work.commit("A=1\n", "deploy/app.env")
    work.commit(WITH_FILES, "deploy/pipeline.yaml")
    (work.path / "deploy" / "app.env").write_text("A=not committed\n")
    assert environment_of(work, in_folder) == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("/etc/hostname", "common.env of commit {sha} is a symbolic link that leads out of the repository"),
        ("../outside.env", "common.env of commit {sha} is a symbolic link that leads out of the repository"),
        ("gone", "common.env of commit {sha} is a symbolic link that leads to nothing in the repository"),
    ],
)
def test_a_link_out_of_the_repository_is_refused(
    target: str, error: str, work: Work, in_folder: StageContext, tmp_path: Path
) -> None:
    """So a commit reads no file of the machine, also if it is there."""
    (tmp_path / "outside.env").write_text("B=hidden\n")
    (work.path / "common.env").symlink_to(target)
    work.commit("A=1\n", "deploy/app.env")
    sha = work.commit(WITH_FILES, "deploy/pipeline.yaml")
    with pytest.raises(PenstockError) as caught:
        environment_of(work, in_folder)
    assert caught.value.message == error.format(sha=sha[:7])


def test_a_path_out_of_the_repository_is_refused(work: Work, in_folder: StageContext, tmp_path: Path) -> None:
    """The same holds for a path with `..`."""
    (tmp_path / "outside.env").write_text("B=hidden\n")
    work.commit("A=1\n", "deploy/app.env")
    sha = work.commit(WITH_FILES.replace("../common.env", "../../outside.env"), "deploy/pipeline.yaml")
    with pytest.raises(PenstockError) as caught:
        environment_of(work, in_folder)
    assert caught.value.message == (
        f"{sha[:7]}:deploy/pipeline.yaml:3:49: deploy.env_file[1]: ../../outside.env is out of the repository (name a "
        "file that the repository has)"
    )


def test_a_changed_environment_file_is_part_of_a_run_with_the_file_of_the_directory(work: Work, tmp_path: Path) -> None:
    """So it does not count as an uncommitted change, as pipeline.yaml does not."""
    file = work.path / "pipeline.yaml"
    file.write_text(PIPELINE.replace("work", ".").replace("target_group: web}", "target_group: web, env_file: a.env}"))
    work.commit("A=1\n", "a.env")
    (work.path / "a.env").write_text("A=2\n")
    (work.path / "file.txt").write_text("changed\n")
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        context = PipelineContext(home, load(file), store).stage_context(run=1)
        assert GitSource().plan(context, Wanted()).steps[1:] == [
            "1 uncommitted change in the checkout: not part of this run"
        ]
