"""Pipelines of stacks: their properties are a pipeline.yaml, and each change is one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.api import Wanted
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError, StageFailed, StoreFault
from pipeline.config.load import load
from pipeline.daemon.served_service import ServedService
from pipeline.ecs.context import service_context
from pipeline.ecs.stack_pipeline import StackPipeline, pipeline_configuration, pipeline_text
from pipeline.runner.commit_configuration import adopt_commit_file
from pipeline.runner.ownership import set_owner
from pipeline.runner.stages import load_source
from pipeline.stacks.provider import Pending, StackContext, State
from pipeline.store.records import RunKind, RunState
from tests.support.ecs_home import OWNER, PIPELINE, EcsHome

CONTEXT = StackContext("arn:…:stack/lab/1", "lab", OWNER, "eu-west-1", "000000000000")
TOKEN = "lab-Web-AAAAAAAAAAAA"


@pytest.fixture
def ecs() -> Iterator[EcsHome]:
    """A home without pipelines."""
    made = EcsHome(CONTEXT)
    yield made
    made.close()


def changed(**keys: Any) -> dict[str, Any]:
    """Return the properties with other top-level keys."""
    return {**PIPELINE, **keys}


def create(ecs: EcsHome, properties: dict[str, Any] = PIPELINE, token: str = TOKEN) -> State:
    """Create a pipeline, and wait for its run."""
    provider = ecs.pipeline()
    for _ in range(10):
        state = provider.create(token, provider.properties.model_validate(properties))
        if isinstance(state, State):
            return state
    raise AssertionError("the creation stays pending")


def update(ecs: EcsHome, name: str, properties: dict[str, Any]) -> State | Pending:
    """Call update once."""
    provider = ecs.pipeline()
    return provider.update(name, provider.properties(), provider.properties.model_validate(properties))


def only(ecs: EcsHome) -> StackPipeline:
    """Return the only pipeline."""
    (found,) = ecs.ecs.store.read().pipelines
    return found


def test_the_properties_are_a_pipeline_yaml(ecs: EcsHome) -> None:
    """Commands read it as any other file. `Fn::GetAtt` tells where it is. Numbers may be text, as Ref gives them."""
    state = create(ecs, changed(name="web", deploy={"target_group": "web", "replicas": "3"}))
    assert (state.physical_id, state.attributes["Name"]) == ("web", "web")
    configuration = load(Path(state.attributes["File"]))
    assert (configuration.pipeline.name, configuration.pipeline.deploy.replicas) == ("web", 3)
    assert [run.kind for run in ecs.runs(only(ecs))] == [RunKind.RUN]


def test_without_a_name_it_has_that_of_its_token(ecs: EcsHome) -> None:
    """The name is short enough for a pipeline, and unique."""
    assert create(ecs).physical_id == TOKEN
    long = "a-stack-with-a-long-name-Web-BBBBBBBBBBBB"
    assert create(ecs, token=long).physical_id == "a-stack-with-a-long-BBBBBBBBBBBB"


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        (
            changed(deploy={"target_group": "web", "replicas": 0}),
            "#/deploy/replicas: must be at least 1, got 0",
        ),
        (changed(deploy={"target_group": "wep"}), "#/deploy/target_group: "),
        (changed(bild={}), "#/bild: unknown key (did you mean build?)"),
        (
            changed(deploy={"target_group": "web", "environment": {"KEY": "${secret:KEY}"}}),
            "#/deploy/environment/KEY: secret KEY is not in the environment",
        ),
        (
            changed(source={"repository": "shop"}),
            "#/source/repository: shop is relative to the template's file, and there is none",
        ),
        (changed(name="-"), "#/name: must be 1 to 32 letters, digits and inner dashes"),
    ],
)
def test_a_mistake_has_the_words_of_pipeline_yaml(ecs: EcsHome, properties: dict[str, Any], reason: str) -> None:
    """The place is that in the properties. Nothing is kept or run."""
    with pytest.raises(ConfigError) as caught:
        create(ecs, properties)
    assert caught.value.message.startswith(f"Properties validation failed: {reason}")
    assert ecs.ecs.store.read().pipelines == ()
    assert not ecs.home.stack_pipelines.exists()


def test_an_update_with_a_mistake_changes_nothing(ecs: EcsHome) -> None:
    """The pipeline.yaml stays as it was."""
    name = create(ecs).physical_id
    before = only(ecs)
    with pytest.raises(ConfigError):
        update(ecs, name, changed(deploy={"target_group": "web", "replicas": 0}))
    assert only(ecs) == before
    assert before.file(ecs.home).read_text() == before.wanted


def test_relative_paths_are_those_of_the_template(tmp_path: Path) -> None:
    """The repository is by default the folder of the template, as for a pipeline.yaml."""
    listener = {"port": 443, "protocol": "HTTPS", "certificates": [{"certificate": "a.pem", "private_key": "/k.pem"}]}
    data = json.loads(
        pipeline_text(
            {"secrets": {"file": "secrets.env"}, "balancer": {"load_balancers": {"edge": {"listeners": [listener]}}}},
            "web",
            str(tmp_path),
        )
    )
    assert data["source"] == {"repository": str(tmp_path)}
    assert data["secrets"] == {"file": str(tmp_path / "secrets.env")}
    (certificate,) = data["balancer"]["load_balancers"]["edge"]["listeners"][0]["certificates"]
    assert certificate == {"certificate": str(tmp_path / "a.pem"), "private_key": "/k.pem"}


def test_secrets_come_from_the_file(ecs: EcsHome, tmp_path: Path) -> None:
    """The file that the template names is read, and its values are in neither record."""
    file = tmp_path / "secrets.env"
    file.write_text("KEY=open-sesame\n")
    file.chmod(0o600)
    deploy = {"target_group": "web", "environment": {"KEY": "${secret:KEY}"}}
    create(ecs, changed(secrets={"file": str(file)}, deploy=deploy))
    assert pipeline_configuration(ecs.home, only(ecs)).secrets.values() == ("open-sesame",)
    assert "open-sesame" not in ecs.ecs.store.file.read_text() + only(ecs).file(ecs.home).read_text()


def test_a_name_is_used_once(ecs: EcsHome, tmp_path: Path) -> None:
    """Neither another stack, whatever its owner, nor a pipeline.yaml is taken over."""
    create(ecs, changed(name="web"))
    with pytest.raises(ConfigError, match="the pipeline web already exists: the stack lab has made it"):
        create(ecs, changed(name="web"), "lab-Other-BBBBBBBBBBBB")
    file = tmp_path / "pipeline.yaml"
    file.write_text(json.dumps({**PIPELINE, "name": "blog"}))
    set_owner(ecs.store, load(file))
    with pytest.raises(ConfigError, match=f"blog is the pipeline of {file} already"):
        create(ecs, changed(name="blog"), "lab-Blog-BBBBBBBBBBBB")


def test_a_run_that_fails_fails_the_resource(ecs: EcsHome) -> None:
    """The reason is that of the run. Going back to the former properties is one more run."""
    name = create(ecs).physical_id
    ecs.outcomes = [(RunState.ROLLED_BACK, "the new release was not healthy")]
    wanted = changed(deploy={"target_group": "web", "replicas": 2})
    assert isinstance(update(ecs, name, wanted), Pending)
    with pytest.raises(StageFailed, match="was not healthy"):
        update(ecs, name, wanted)
    assert isinstance(update(ecs, name, PIPELINE), Pending)
    assert isinstance(update(ecs, name, PIPELINE), State)
    assert [run.state for run in ecs.runs(only(ecs))] == ["succeeded", "rolled_back", "succeeded"]


def test_a_run_that_a_newer_commit_replaces_is_repeated(ecs: EcsHome) -> None:
    """The configuration of the stack is not lost with it."""
    ecs.outcomes = [(RunState.SUPERSEDED, "")]
    create(ecs)
    assert [run.state for run in ecs.runs(only(ecs))] == ["superseded", "succeeded"]


def test_deletion_is_a_run_and_leaves_nothing(ecs: EcsHome) -> None:
    """Without a run, there is nothing to take down. A deletion that fails keeps the pipeline."""
    name = create(ecs).physical_id
    file = only(ecs).file(ecs.home)
    ecs.outcomes = [(RunState.FAILED, "dev uses the listener on port 8001")]
    provider = ecs.pipeline()
    provider.delete(name)
    with pytest.raises(StageFailed, match="dev uses the listener"):
        provider.delete(name)
    assert file.exists()
    deleting = only(ecs)
    assert isinstance(provider.delete(name), Pending)
    assert provider.delete(name) is None
    assert [run.kind for run in ecs.runs(deleting)] == [RunKind.RUN, RunKind.DOWN, RunKind.DOWN]
    assert (ecs.ecs.store.read().pipelines, file.exists(), ecs.released) == ((), False, [name])
    assert provider.read(name) is None


def test_a_record_without_its_file_gets_it_again(ecs: EcsHome) -> None:
    """A process that dies between the two leaves a record, whose next call writes the file."""
    name = create(ecs).physical_id
    file = only(ecs).file(ecs.home)
    file.unlink()
    update(ecs, name, PIPELINE)
    assert file.read_text() == only(ecs).wanted


def test_a_file_that_was_edited_is_drift(ecs: EcsHome) -> None:
    """The key that differs has its actual value, and one that is missing has none."""
    name = create(ecs).physical_id
    file, provider = only(ecs).file(ecs.home), ecs.pipeline()
    state = provider.read(name)
    assert state is not None
    assert state.properties == PIPELINE
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, "deploy": {"target_group": "web", "replicas": 9}}))
    state = provider.read(name)
    assert state is not None
    assert state.properties == changed(deploy={"target_group": "web", "replicas": 9})
    file.unlink()
    state = provider.read(name)
    assert state is not None
    assert state.properties == PIPELINE


def test_a_folder_that_cannot_be_written(ecs: EcsHome) -> None:
    """The fault names the file, and a later call goes on."""
    ecs.home.aws.mkdir(exist_ok=True)
    ecs.home.stack_pipelines.write_text("")
    with pytest.raises(StoreFault, match=r"cannot write .*pipelines"):
        create(ecs)
    ecs.home.stack_pipelines.unlink()
    assert create(ecs).physical_id == TOKEN


def test_the_pipeline_yaml_of_a_commit_does_not_count(ecs: EcsHome) -> None:
    """The template decides, also for runs that a new commit starts. The commit's file is not even read."""
    create(ecs)
    context = service_context(ecs.home, ecs.store, ecs.ecs.store, only(ecs))
    stage, source = context.stage_context(), load_source(context.configuration)
    # Its repository does not exist.
    assert adopt_commit_file(context, stage, source, Wanted(), None) is context.configuration


def test_the_daemon_follows_the_record(ecs: EcsHome) -> None:
    """A changed record is used at once, and its triggers start again. It is served under the name of its file."""
    name = create(ecs).physical_id
    served = ServedService(only(ecs), ecs.home, ecs.store, ecs.ecs.store, [], SYSTEM)
    assert (served.name, served.group_owner, served.file) == (name, name, only(ecs).file(ecs.home))
    assert served.is_triggered
    assert not served.reload_if_changed()
    deploy = {"target_group": "web", "replicas": 4}
    ecs.ecs.store.put(replace(only(ecs), wanted=pipeline_text(changed(deploy=deploy), name, None)))
    assert served.pipeline_context.configuration.pipeline.deploy.replicas == 4
    assert served.reload_if_changed()
    assert not served.reload_if_changed()
