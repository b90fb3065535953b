"""A run's three stages: what each gets, what is recorded, and which configuration counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from pipeline.api import Checkout, Image, NothingToDo, Revision, StageContext, Wanted
from pipeline.base.errors import ConfigError, StageFailed
from pipeline.base.home import Home
from pipeline.config.load import CommittedFile, Configuration, load
from pipeline.events import Event
from pipeline.runner import delivery, run
from pipeline.runner.context import PipelineContext
from pipeline.runner.rollback_release import rollback_release
from pipeline.runner.run import Execution
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, Release, RunKind, RunOptions, RunState, StageState, Trigger
from pipeline.store.store import Store

PIPELINE = """\
name: {name}
deploy: {{target_group: web, replicas: {replicas}}}
balancer:
  target_groups: {{web: {{port: 8080}}}}
  load_balancers: {{edge: {{listeners: [{{port: 8000, default_action: {{forward: web}}}}]}}}}
"""
REVISION = Revision("a" * 40, "main", "Ann", "Say hello", datetime(2026, 1, 2, tzinfo=UTC), "/srv/a.git")


class EmptyCommit:
    """A commit without files."""

    revision = REVISION

    def tree(self, path: str) -> str:
        return "t" * 40

    def archive(self, path: str, ignored: Callable[[str], bool]) -> AbstractContextManager[IO[bytes]]:
        raise NotImplementedError

    def read(self, path: str) -> bytes | None:
        return None


class Stages:
    """All three stages. Each notes the number of replicas in the configuration that it got."""

    def __init__(self) -> None:
        self.found: Checkout | NothingToDo = EmptyCommit()
        self.committed: str | None = None
        self.failure: Exception | None = None
        self.current = True
        self.wanted: list[Wanted] = []
        self.calls: list[tuple[str, int]] = []
        self.deployed: list[tuple[Revision, Image]] = []
        self.cached: str | None = None
        self.options: list[RunOptions] = []

    def preflight(self, context: StageContext) -> None:
        self._note("preflight", context)

    def is_current(self, context: StageContext) -> bool:
        return self.current

    def pipeline_file(self, context: StageContext, wanted: Wanted) -> CommittedFile | None:
        return CommittedFile("aaaaaaa:pipeline.yaml", self.committed.encode()) if self.committed else None

    def find(self, context: StageContext, wanted: Wanted) -> Checkout | NothingToDo:
        self.wanted.append(wanted)
        self._note("find", context)
        if not isinstance(self.found, NothingToDo):
            context.report("found it")
        return self.found

    def build(self, context: StageContext, checkout: Checkout) -> Image:
        self._note("build", context)
        self.options.append(context.options)
        self.cached = context.store.images.cached("shop", "tested:1")
        if self.failure:
            raise self.failure
        context.report("built it")
        return Image("sha256:1", "shop:aaaaaaa")

    def deploy(self, context: StageContext, revision: Revision, image: Image) -> None:
        self._note("deploy", context)
        self.deployed.append((revision, image))
        context.report("serves")

    def rollback(self, context: StageContext, release: Release) -> None:
        self.calls.append(("rollback", release.number))

    def down(self, context: StageContext) -> None:
        self._note("down", context)

    def _note(self, call: str, context: StageContext) -> None:
        self.calls.append((call, context.configuration.pipeline.deploy.replicas))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stages = Stages()
    for name in ("load_source", "load_builder", "load_deployer"):
        monkeypatch.setattr(delivery, name, lambda _: stages)
    monkeypatch.setattr(run, "load_deployer", lambda _: stages)
    return stages


@pytest.fixture
def pipeline_context(tmp_path: Path) -> Iterator[PipelineContext]:
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE.format(name="shop", replicas=1))
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield PipelineContext(home, load(file), store)


def execute(context: PipelineContext, options: RunOptions | None = None, kind: RunKind = RunKind.RUN) -> list[Event]:
    """Execute a run, and return its events. Raises its error."""
    request = RunRequest(
        Trigger.COMMAND, "main" if kind is RunKind.RUN else None, kind, options=options or RunOptions()
    )
    begun = context.store.queue.begin("shop", request, "superseded")
    assert begun is not None
    Execution(context, begun).execute()
    return [e for e in context.store.events.latest("shop", limit=100) if e.run == begun.number]


def rows(context: PipelineContext) -> list[tuple[str, StageState, str]]:
    """Return the stages of the first run."""
    return [(s.name, s.state, s.summary) for s in context.store.runs.stages("shop", 1)]


def test_each_stage_gets_what_the_one_before_returned(pipeline_context: PipelineContext, stages: Stages) -> None:
    """The report of a stage is in its row, and the commit is in the run's."""
    execute(pipeline_context)
    assert stages.deployed == [(REVISION, Image("sha256:1", "shop:aaaaaaa"))]
    assert rows(pipeline_context) == [
        ("source", StageState.SUCCEEDED, "found it"),
        ("build", StageState.SUCCEEDED, "built it"),
        ("deploy", StageState.SUCCEEDED, "serves"),
    ]
    stored = pipeline_context.store.runs.get("shop", 1)
    assert stored is not None
    assert (stored.state, stored.sha, stored.subject) == (RunState.SUCCEEDED, "a" * 40, "Say hello")


def test_a_commit_that_changes_nothing_skips_the_run(pipeline_context: PipelineContext, stages: Stages) -> None:
    """The reason is in the row of the stage and in the run. Nothing is built."""
    stages.found = NothingToDo(REVISION, "aaaaaaa changes nothing")
    execute(pipeline_context)
    assert rows(pipeline_context) == [("source", StageState.SUCCEEDED, "aaaaaaa changes nothing")]
    stored = pipeline_context.store.runs.get("shop", 1)
    assert stored is not None
    assert (stored.state, stored.reason, stored.sha) == (RunState.SKIPPED, "aaaaaaa changes nothing", "a" * 40)


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_rebuild_uses_no_cached_image(pipeline_context: PipelineContext, stages: Stages, *, rebuild: bool) -> None:
    """Build finds the image that an earlier run has tested, unless the run is to build and test again."""
    pipeline_context.store.images.cache("shop", "tested:1", "sha256:1")
    execute(pipeline_context, RunOptions(force=rebuild, rebuild=rebuild))
    assert stages.cached == (None if rebuild else "sha256:1")


@pytest.mark.parametrize("option", ["force", "rebuild", "pull", "no_cache"])
def test_a_run_with_a_reason_of_its_own_is_not_skipped(
    option: str, pipeline_context: PipelineContext, stages: Stages
) -> None:
    """Whether its commit changes something or not. Every stage can see the options of the run."""
    execute(pipeline_context, RunOptions(**{option: True}))
    execute(pipeline_context)
    assert [wanted.force for wanted in stages.wanted] == [True, False]
    assert [getattr(options, option) for options in stages.options] == [True, False]


def test_no_cache_uses_no_cached_image(pipeline_context: PipelineContext, stages: Stages) -> None:
    """As a rebuild does."""
    pipeline_context.store.images.cache("shop", "tested:1", "sha256:1")
    execute(pipeline_context, RunOptions(pull=True))
    assert stages.cached == "sha256:1"
    execute(pipeline_context, RunOptions(no_cache=True))
    assert stages.cached is None


def test_the_program_of_secrets_is_asked_once_in_a_run(tmp_path: Path, stages: Stages) -> None:
    """And what it prints is in no file of the home."""
    (tmp_path / "vault").write_text("#!/bin/sh\necho asked >> asked\necho TOKEN=hidden-value\n")
    (tmp_path / "vault").chmod(0o700)
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE.format(name="shop", replicas=1) + "secrets: {command: [./vault]}\n")
    stages.committed = PIPELINE.format(name="shop", replicas=1).replace("replicas: 1", "replicas: 1, secrets: all")
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        context = PipelineContext(home, load(file), store)
        asked = [_count(tmp_path / "asked")]
        for _ in range(2):
            execute(context, RunOptions(configuration="commit"))
            asked.append(_count(tmp_path / "asked"))
        assert context.mask("a hidden-value") == "a ***"
    assert asked == [1, 2, 3]
    assert [path for path in home.root.rglob("*") if path.is_file() and b"hidden-value" in path.read_bytes()] == []


def _count(file: Path) -> int:
    return len(file.read_text().splitlines())


def test_a_stage_that_fails_ends_the_run(pipeline_context: PipelineContext, stages: Stages) -> None:
    """Its error is in the row, and the next stage does not start."""
    stages.failure = StageFailed("no space left")
    with pytest.raises(StageFailed):
        execute(pipeline_context)
    assert rows(pipeline_context)[1:] == [("build", StageState.FAILED, "no space left")]
    assert stages.deployed == []


def test_the_file_of_the_commit_counts_from_preflight_on(pipeline_context: PipelineContext, stages: Stages) -> None:
    """For all three stages, where the run says so."""
    stages.committed = PIPELINE.format(name="shop", replicas=4)
    execute(pipeline_context, RunOptions(configuration="commit"))
    assert stages.calls == [("preflight", 4), ("find", 4), ("build", 4), ("deploy", 4)]


def note_loads(monkeypatch: pytest.MonkeyPatch, stages: Stages) -> dict[str, int]:
    """Note the number of replicas in the configuration from which each stage is loaded."""
    loaded: dict[str, int] = {}

    def loader(name: str) -> Callable[[Configuration | StageContext], Stages]:
        def load_stage(given: Configuration | StageContext) -> Stages:
            configuration = given.configuration if isinstance(given, StageContext) else given
            loaded[name] = configuration.pipeline.deploy.replicas
            return stages

        return load_stage

    for name in ("load_source", "load_builder", "load_deployer"):
        monkeypatch.setattr(delivery, name, loader(name))
    return loaded


def test_the_commit_chooses_builder_and_deployer(
    pipeline_context: PipelineContext, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source that finds the commit is the one of the served file. Build and Deploy are those of the commit."""
    loaded = note_loads(monkeypatch, stages)
    stages.committed = PIPELINE.format(name="shop", replicas=4)
    execute(pipeline_context, RunOptions(configuration="commit"))
    assert loaded == {"load_source": 1, "load_builder": 4, "load_deployer": 4}


def test_options_of_stages_may_depend_on_parameters(
    pipeline_context: PipelineContext, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stage of a run is loaded from the configuration with the run's parameters."""
    loaded = note_loads(monkeypatch, stages)
    text = PIPELINE.format(name="shop", replicas="'${n}'")
    pipeline_context.configuration.path.write_text(f"{text}parameters: {{n: {{type: integer, default: 1}}}}\n")
    execute(pipeline_context, RunOptions(parameters={"n": "3"}))
    assert loaded == {"load_source": 3, "load_builder": 3, "load_deployer": 3}


def test_a_commit_without_a_file_uses_the_served_one(pipeline_context: PipelineContext, stages: Stages) -> None:
    """An event says so."""
    events = execute(pipeline_context, RunOptions(configuration="commit"))
    assert {replicas for _, replicas in stages.calls} == {1}
    assert "source.configuration" in [event.kind for event in events]


def test_the_file_of_another_pipeline_fails_source(pipeline_context: PipelineContext, stages: Stages) -> None:
    """Before anything is deployed under a wrong name."""
    stages.committed = PIPELINE.format(name="blog", replicas=1)
    with pytest.raises(ConfigError, match="is the pipeline blog, and this is shop"):
        execute(pipeline_context, RunOptions(configuration="commit"))
    assert [(name, state) for name, state, _ in rows(pipeline_context)] == [("source", StageState.FAILED)]


def allow(context: PipelineContext, text: str) -> Path:
    """Write the policy of the pipeline."""
    path = context.home.policy("shop")
    path.parent.mkdir(mode=0o700)
    path.write_text(text)
    return path


def deploying(**settings: object) -> str:
    """Return a pipeline.yaml with more settings in `deploy`."""
    more = "".join(f", {name}: {json.dumps(value)}" for name, value in settings.items())
    return PIPELINE.format(name="shop", replicas=f"2{more}")


def test_a_commit_reads_no_variable_of_the_daemon(
    pipeline_context: PipelineContext, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the served file reads and the policy lists are the only ones. A commit could publish all others."""
    monkeypatch.setenv("REGION", "eu")
    stages.committed = deploying(environment={"REGION": "${env:REGION:-us}"})
    with pytest.raises(ConfigError, match="a commit must not read the environment variable REGION") as caught:
        execute(pipeline_context, RunOptions(configuration="commit"))
    path = pipeline_context.home.policy("shop")
    assert f"add it to environment in {path}, or use it in" in str(caught.value)
    assert stages.calls == []
    allow(pipeline_context, "environment: [REGION]\n")
    execute(pipeline_context, RunOptions(configuration="commit"))
    assert ("deploy", 2) in stages.calls


def test_a_commit_reads_what_the_served_file_reads(
    pipeline_context: PipelineContext, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of the served file has decided to read these, also in a default of a parameter."""
    monkeypatch.setenv("REGION", "eu")
    monkeypatch.setenv("ZONE", "a")
    file = pipeline_context.configuration.path
    file.write_text("parameters: {zone: {default: '${env:ZONE}'}}\n" + deploying(environment={"R": "${env:REGION}"}))
    served = replace(pipeline_context, configuration=load(file))
    stages.committed = deploying(environment={"HERE": "${env:REGION}${env:ZONE}"})
    execute(served, RunOptions(configuration="commit"))
    assert ("deploy", 2) in stages.calls


def names(*secrets: str) -> dict[str, object]:
    return {"environment": {name: f"${{secret:{name}}}" for name in secrets}}


REFUSED = "a commit must not use the secret AWS, which the served file does not use"


@pytest.mark.parametrize(
    ("served", "policy", "committed", "refused"),
    [
        (deploying(), None, names("AWS"), REFUSED),
        (deploying(), "volumes: []", names("AWS"), REFUSED),
        (deploying(), None, {"release_command": {"command": "true", **names("AWS")}}, REFUSED),
        (deploying(**names("OTHER")), None, names("AWS", "OTHER"), REFUSED),
        (deploying(**names("AWS")), None, names("AWS"), None),
        (deploying() + "secrets: {file: kept}\n", None, names("KEPT"), None),
        (deploying() + "secrets: {file: kept}\n", None, names("KEPT", "AWS"), REFUSED),
        (deploying(), "secrets: {AWS: {}}", names("AWS"), None),
        (deploying(**names("AWS")), "secrets: {}", names("AWS"), "it uses the secret AWS, which is not in secrets"),
    ],
)
def test_a_commit_gets_no_other_secret(
    pipeline_context: PipelineContext,
    stages: Stages,
    monkeypatch: pytest.MonkeyPatch,
    served: str,
    policy: str | None,
    committed: dict[str, object],
    refused: str | None,
) -> None:
    """It gets those that the served file uses or that its secrets file has, or those in the policy's list."""
    for name in ("AWS", "OTHER"):
        monkeypatch.setenv(name, f"the-{name}")
    file = pipeline_context.configuration.path
    write_secrets(file.with_name("kept"), "KEPT")
    file.write_text(served)
    context = replace(pipeline_context, configuration=load(file))
    if policy:
        allow(context, policy)
    stages.committed = deploying(**committed)
    if refused is None:
        execute(context, RunOptions(configuration="commit"))
        assert ("deploy", 2) in stages.calls
        return
    with pytest.raises(ConfigError) as caught:
        execute(context, RunOptions(configuration="commit"))
    assert refused in str(caught.value)
    assert ("build", 2) not in stages.calls


def write_secrets(path: Path, *names: str) -> None:
    path.write_text("".join(f"{name}=value-of-{name}\n" for name in names))
    path.chmod(0o600)


@pytest.mark.parametrize("secrets", ["{file: ../billing/.secrets}", "{file: /proc/self/environ}", "null", "17"])
def test_a_commit_does_not_choose_the_secrets_file(
    pipeline_context: PipelineContext, stages: Stages, secrets: str
) -> None:
    """Its own key is ignored: the file of another pipeline is not read, and that of the served file is."""
    file = pipeline_context.configuration.path
    (file.parent.parent / "billing").mkdir(exist_ok=True)
    write_secrets(file.parent.parent / "billing" / ".secrets", "BILLING")
    write_secrets(file.with_name("kept"), "KEPT")
    file.write_text(PIPELINE.format(name="shop", replicas=1) + "secrets: {file: kept}\n")
    context = replace(pipeline_context, configuration=load(file))
    stages.committed = deploying(**names("KEPT")) + f"secrets: {secrets}\n"
    if secrets == "17":
        with pytest.raises(ConfigError):
            execute(context, RunOptions(configuration="commit"))
        return
    execute(context, RunOptions(configuration="commit"))
    stages.committed = deploying(**names("BILLING")) + f"secrets: {secrets}\n"
    with pytest.raises(ConfigError, match="must not use the secret BILLING"):
        execute(context, RunOptions(configuration="commit"))


@pytest.mark.parametrize(
    ("policy", "settings", "objection"),
    [
        ("volumes: [/srv/shop]", {"volumes": ["/:/host"]}, "it mounts /, which is not in volumes"),
        ("volumes: [/srv/shop]", {"volumes": ["/srv/shop/../..:/host"]}, "it mounts /srv/shop/../.., which"),
        ("volumes: [/srv/shop]", {"volumes": ["/srv/shops:/data"]}, "it mounts /srv/shops, which"),
        ("volumes: []", {"volumes": ["data:/data"]}, "it mounts data, which"),
        ("volumes: [/srv/shop, data]", {"volumes": ["/srv/shop/a:/a", "data:/data:ro"]}, None),
        (
            "capabilities: []",
            {"cap_add": ["CAP_SYS_ADMIN"]},
            "it adds SYS_ADMIN in deploy.cap_add, which",
        ),
        ("capabilities: [NET_RAW]", {"cap_drop": ["ALL"], "cap_add": ["NET_RAW", "CHOWN"]}, None),
        ("approval: required", {}, "it has no deploy.approval, which is required"),
        ("secrets: {}", {"environment": {"A": "${secret:TOKEN}"}}, "it uses the secret TOKEN, which is not in secrets"),
        ("secrets: {TOKEN: {refs: [release/*]}}", {"environment": {"A": "${secret:TOKEN}"}}, "not for a run of main"),
        ("secrets: {TOKEN: {triggers: [webhook]}}", {"environment": {"A": "${secret:TOKEN}"}}, "main by command"),
        ("secrets: {TOKEN: {refs: [ma*]}}", {"environment": {"A": "${secret:TOKEN}"}}, None),
        ("# volumes: []\n", {"volumes": ["/:/host"]}, None),
        (
            "# host_commands: []\n",
            {"hooks": {"BeforeInstall": [{"host_command": ["./x"]}]}},
            "its hooks run ./x on this machine, which is neither in the served file nor in host_commands of a policy",
        ),
        ("host_commands: [./x]", {"hooks": {"BeforeInstall": [{"host_command": ["./x", "y"]}]}}, None),
    ],
)
def test_the_policy_limits_a_commit(
    pipeline_context: PipelineContext,
    stages: Stages,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    settings: dict[str, object],
    objection: str | None,
) -> None:
    """A commit that asks for more is not built. The served file itself is not limited: its owner wrote it."""
    monkeypatch.setenv("TOKEN", "xyzzy")
    path = allow(pipeline_context, policy)
    stages.committed = deploying(**settings)
    if objection is None:
        execute(pipeline_context, RunOptions(configuration="commit"))
        return
    with pytest.raises(ConfigError, match=re.escape(objection)) as caught:
        execute(pipeline_context, RunOptions(configuration="commit"))
    assert caught.value.message.startswith(f"{path} does not allow")
    assert ("build", 2) not in stages.calls
    pipeline_context.configuration.path.write_text(stages.committed)
    execute(replace(pipeline_context, configuration=load(pipeline_context.configuration.path)))
    assert ("deploy", 2) in stages.calls


def test_a_commit_may_run_the_hooks_of_the_served_file(pipeline_context: PipelineContext, stages: Stages) -> None:
    """Its owner wrote them. Another argument fails the run before it is built."""
    hooks = {"BeforeInstall": [{"host_command": ["./notify.sh", "start"]}]}
    pipeline_context.configuration.path.write_text(deploying(hooks=hooks))
    context = replace(pipeline_context, configuration=load(pipeline_context.configuration.path))
    stages.committed = deploying(hooks=hooks, environment={"A": "b"})
    execute(context, RunOptions(configuration="commit"))
    stages.committed = stages.committed.replace("start", "stop")
    with pytest.raises(ConfigError) as caught:
        execute(context, RunOptions(configuration="commit"))
    path, policy = context.configuration.path, context.home.policy("shop")
    assert caught.value.message == (
        f"{path} does not allow the pipeline.yaml of this commit: its hooks run ./notify.sh stop on this machine, "
        "which is neither in the served file nor in host_commands of a policy"
    )
    assert caught.value.hint == f"write it in {path} too, or allow it in a policy: {policy}"


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("volume: [/srv]", 0o600, "volume: unknown key (did you mean volumes?)"),
        ("approval: maybe", 0o600, "approval: must be"),
        ("capabilities: [ROOT]", 0o600, "'ROOT' is not a Linux capability"),
        ("environment: [A]", 0o620, "must be writable only by its owner, got mode 0620"),
    ],
)
def test_a_policy_that_cannot_be_trusted_stops_the_run(
    pipeline_context: PipelineContext, stages: Stages, text: str, mode: int, reason: str
) -> None:
    """A mistake in it, or others who may write it, must not lift its limits."""
    path = allow(pipeline_context, text)
    path.chmod(mode)
    stages.committed = deploying()
    with pytest.raises(ConfigError) as caught:
        execute(pipeline_context, RunOptions(configuration="commit"))
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert stages.calls == []


@pytest.mark.parametrize(
    ("current", "force", "expected"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_a_release_of_another_configuration_forces_the_run(
    pipeline_context: PipelineContext, stages: Stages, *, current: bool, force: bool, expected: bool
) -> None:
    """As --force does: the commit may change nothing, but the configuration has."""
    stages.current = current
    execute(pipeline_context, RunOptions(force=force))
    assert [wanted.force for wanted in stages.wanted] == [expected]


def test_down_and_rollback_run_deploy_alone(pipeline_context: PipelineContext, stages: Stages) -> None:
    """A rollback without a number goes to the release before the active one."""
    release(pipeline_context.store, DeploymentState.SUCCEEDED)
    release(pipeline_context.store, DeploymentState.SUCCEEDED)
    execute(pipeline_context, kind=RunKind.ROLLBACK)
    execute(pipeline_context, kind=RunKind.DOWN)
    assert stages.calls == [("rollback", 1), ("down", 1)]
    assert [name for name, _, _ in rows(pipeline_context)] == ["deploy"]


def test_a_rollback_refuses_a_release_that_never_served(pipeline_context: PipelineContext) -> None:
    """Neither a failed one, nor one that does not exist, nor the active one; nor any, if none was retired."""
    store = pipeline_context.store
    release(store, DeploymentState.SUCCEEDED)
    release(store, DeploymentState.FAILED)
    for number, text in (
        (1, "is already active"),
        (2, "was never active"),
        (7, "there is no release 7"),
        (None, "no previous"),
    ):
        with pytest.raises(ConfigError, match=text):
            rollback_release(store, "shop", number)


def release(store: Store, state: DeploymentState) -> None:
    """Store a release and its deployment."""
    active = store.releases.active("shop")
    made = store.releases.create("shop", 99, sha="a" * 40, subject="Say", image_id="i", image_tag="t", spec="{}")
    deployment = store.deployments.begin("shop", 99, active.number if active else None, made.number)
    store.deployments.finish(deployment, state)
