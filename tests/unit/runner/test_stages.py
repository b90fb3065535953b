"""The stages of a configuration, and the one that the active release stays with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from pipeline.api import StageContext, StageOptions
from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.config import stages
from pipeline.config.load import CommittedFile, Configuration, load
from pipeline.config.release import ReleaseSpec
from pipeline.runner.commit_configuration import merge_commit_config
from pipeline.runner.context import PipelineContext
from pipeline.runner.local import Runner
from pipeline.runner.stages import check_deployer, load_builder, load_deployer, load_source
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, RunState, Trigger
from pipeline.store.store import Store
from tests.support.pipeline_yaml import MINIMAL

DEPLOY = "deploy: {target_group: web}"


class Installed(EntryPoint):
    """The entry point of a class of this file."""

    def __init__(self, name: str, stage: type) -> None:
        super().__init__(name, stage.__name__, "pipeline.stages")
        vars(self)["load"] = lambda: stage


class Stage:
    """A stage of every kind, with one option."""

    class Options(StageOptions):
        """Its options."""

        size: int = 1

    section_keys = frozenset({"replicas"})

    def __init__(self, options: Options) -> None:
        self.size = options.size

    find = build = deploy = lambda *_: None


class Other:
    """A stage without options."""

    find = build = deploy = lambda *_: None


class Stricter:
    """A later version of `Stage`, whose option is required under another name."""

    class Options(StageOptions):
        """Its options."""

        weight: int

    def __init__(self, options: Options) -> None:
        self.weight = options.weight

    find = build = deploy = lambda *_: None


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """The installed stages by their entry points."""
    found: dict[str, type] = {f"{section}.sized": Stage for section in ("source", "build", "deploy")}
    found |= {"source.git": Other, "build.docker": Other, "deploy.docker": Other}

    def find(*, group: str, name: str | None = None) -> EntryPoints:
        assert group == "pipeline.stages"
        return EntryPoints(Installed(key, found[key]) for key in found if name in (None, key))

    monkeypatch.setattr(stages, "entry_points", find)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as opened:
        yield opened


def configuration(folder: Path, text: str = MINIMAL) -> Configuration:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return load(path)


def using(stage: str) -> str:
    return MINIMAL.replace(DEPLOY, f"deploy: {{target_group: web, uses: {stage}, with: {{size: 3}}}}")


def context_of(configuration: Configuration, store: Store) -> StageContext:
    home = Home.locate({"PENSTOCK_HOME": str(configuration.directory / "home")})
    return PipelineContext(home, configuration, store).stage_context()


def activate(store: Store, spec: str) -> None:
    """Store a release with this spec as the active one."""
    run = store.queue.begin("shop", RunRequest(Trigger.COMMAND), "superseded")
    assert run is not None
    release = store.releases.create(
        "shop", run.number, sha="a" * 40, subject="Say", image_id="i", image_tag="t", spec=spec
    )
    deployment = store.deployments.begin("shop", run.number, None, release.number)
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED)


def spec_of(configuration: Configuration) -> str:
    spec = ReleaseSpec.of(configuration, image_id="i", image_tag="t", sha="a" * 40, subject="Say")
    return spec.model_dump_json()


def test_a_stage_gets_its_validated_options(installed: dict[str, type], tmp_path: Path) -> None:
    """A stage is made with its options, and with their defaults where `with` does not set them."""
    text = f"{MINIMAL}source: {{uses: sized}}\nbuild: {{uses: sized, with: {{size: '${{n}}'}}}}\n"
    loaded = configuration(tmp_path, f"{text}parameters: {{n: {{type: integer, default: 2}}}}\n")
    source, builder = load_source(loaded), load_builder(loaded)
    assert isinstance(source, Stage)
    assert isinstance(builder, Stage)
    assert (source.size, builder.size) == (1, 2)


def test_the_active_release_stays_with_its_stage(installed: dict[str, type], store: Store, tmp_path: Path) -> None:
    """After a change of `deploy.uses`, rollback, down and repairs still use the stage of the active release."""
    activate(store, spec_of(configuration(tmp_path, using("sized"))))
    deployer = load_deployer(context_of(configuration(tmp_path), store))
    assert isinstance(deployer, Stage)
    assert deployer.size == 3


def test_another_stage_cannot_deploy_over_a_release(installed: dict[str, type], store: Store, tmp_path: Path) -> None:
    """A deployment by another stage is refused as long as the release is active."""
    activate(store, spec_of(configuration(tmp_path)))
    check_deployer(context_of(configuration(tmp_path), store))
    with pytest.raises(ConfigError, match=r"deploy\.uses was docker and is sized now") as caught:
        check_deployer(context_of(configuration(tmp_path, using("sized")), store))
    assert caught.value.hint == "keep the stage, or run `pipeline down` first"


def test_a_refused_run_changes_nothing(installed: dict[str, type], store: Store, tmp_path: Path) -> None:
    """`pipeline run` checks the stage before it enters one. The release stays active."""
    activate(store, spec_of(configuration(tmp_path)))
    (run,) = store.runs.running("shop")
    store.runs.finish("shop", run.number, RunState.SUCCEEDED)
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with pytest.raises(ConfigError, match=r"deploy\.uses was docker"):
        Runner(home, configuration(tmp_path, using("sized")), store).run()
    active = store.releases.active("shop")
    assert active is not None
    assert active.number == 1


def test_a_spec_of_another_form_belongs_to_the_configured_stage(
    installed: dict[str, type], store: Store, tmp_path: Path
) -> None:
    """A release whose stage stored a form of its own causes no error."""
    activate(store, "{}")
    context = context_of(configuration(tmp_path, using("sized")), store)
    check_deployer(context)
    assert isinstance(load_deployer(context), Stage)


def reinstall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stages be searched again, as after a change of the installed packages."""
    monkeypatch.setattr(stages, "entry_points", partial(stages.entry_points))


def test_options_that_the_installed_stage_no_longer_has(
    installed: dict[str, type], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options of a release that an upgraded stage refuses are an error with the key."""
    activate(store, spec_of(configuration(tmp_path, using("sized"))))
    installed["deploy.sized"] = Stricter
    reinstall(monkeypatch)
    with pytest.raises(ConfigError, match=r"deploy\.with does not fit the installed stage sized: weight: Field requ"):
        load_deployer(context_of(configuration(tmp_path), store))


def test_the_packages_are_read_once(
    installed: dict[str, type], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that was found is not searched again before a package is installed."""
    searches, find = [], stages.entry_points
    monkeypatch.setattr(stages, "entry_points", lambda **which: searches.append(which) or find(**which))
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    assert stages.find_stage("build", "sized") is stages.find_stage("build", "sized") is Stage
    assert len(searches) == 1
    installed["build.sized"] = Stricter
    (folder / "sized-2.dist-info").mkdir()
    assert stages.find_stage("build", "sized") is Stricter


def test_a_release_whose_stage_is_gone(
    installed: dict[str, type], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the stage that was uninstalled."""
    activate(store, spec_of(configuration(tmp_path, using("sized"))))
    installed.pop("deploy.sized")
    reinstall(monkeypatch)
    with pytest.raises(ConfigError, match="unknown stage 'sized'"):
        load_deployer(context_of(configuration(tmp_path), store))


def test_a_commit_does_not_choose_its_source(installed: dict[str, type], tmp_path: Path) -> None:
    """A commit's pipeline.yaml may change the builder. The source stage is the served file's."""
    served = configuration(tmp_path, f"{MINIMAL}source: {{uses: sized, with: {{size: 2}}}}\n")
    committed = CommittedFile("abc:pipeline.yaml", f"{MINIMAL}build: {{uses: sized}}\n".encode())
    merged = merge_commit_config(served, committed, {}).pipeline
    assert (merged.source.uses, merged.source.options) == ("sized", {"size": 2})
    assert merged.build.uses == "sized"
