"""Variables of a run stay in the configuration, and get their values in each run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import ConfigError
from pipeline.config.load import Configuration
from pipeline.config.release import ReleaseSpec
from pipeline.config.run_variables import RunVariables, escape, fits, unescape
from pipeline.config.secrets import Secrets
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.loads import Loads

VALUES = RunVariables("c" * 40, "ccccccc", "main", 7, 3)


def with_deploy(text: str) -> str:
    return GOOD.replace("  replicas: 3", f"  replicas: 3\n{text}")


def with_build(text: str) -> str:
    return GOOD.replace("  context: app", f"  context: app\n  {text}")


def spec(configuration: Configuration) -> ReleaseSpec:
    return ReleaseSpec.of(configuration, image_id="sha256:1", image_tag="t", sha="c" * 40, subject="s")


def test_a_reference_stays_until_the_run(loads: Loads) -> None:
    """A file is valid without a run, and shows the variable."""
    text = with_build(
        "args: {A: '${short_commit}'}\n  labels: {L: '${commit}-${run}'}\n  push: ['example.com/shop:${branch}']"
    )
    pipeline = loads(text).pipeline
    assert pipeline.build.args == {"A": "${short_commit}"}
    assert pipeline.build.labels == {"L": "${commit}-${run}"}
    assert pipeline.build.push == ("example.com/shop:${branch}",)


@pytest.mark.parametrize("form", ["{A: '${run}-${release}', B: 'x'}", "['A=${run}-${release}', B=x]"])
def test_a_release_has_values(form: str, loads: Loads) -> None:
    """In its environments, in either form, also that of the release command."""
    command = "{command: [migrate], environment: {R: '${commit}'}}"
    found = spec(loads(with_deploy(f"  environment: {form}\n  release_command: {command}"))).with_variables(VALUES)
    settings = found.services["web"]
    assert settings.environment == {"A": "7-3", "B": "x"}
    assert settings.release_command is not None
    assert settings.release_command.environment == {"R": "c" * 40}
    assert ReleaseSpec.parse(found.model_dump_json()) == found


def test_labels_of_containers_have_values(loads: Loads) -> None:
    """Of a service and of `deploy`. A literal stays what it is until the container has it."""
    text = with_deploy("  labels: {a: 'v${run}', b: '$${run}', c: '${release} $${release}'}")
    configuration = loads(text)
    found = spec(configuration).with_variables(RunVariables(run=7)).with_variables(RunVariables(release=3))
    assert found.services["web"].container_options.labels == {"a": "v7", "b": "${run}", "c": "3 ${release}"}
    assert spec(configuration).with_values_of(found) == found
    assert ReleaseSpec.parse(found.model_dump_json()) == found


def test_an_unknown_value_leaves_the_reference(loads: Loads) -> None:
    """The number of a release is known last."""
    found = spec(loads(with_deploy("  environment: {A: '${run} ${release}'}")))
    known = found.with_variables(RunVariables(run=7))
    assert known.services["web"].environment == {"A": "7 ${release}"}
    assert known.with_variables(RunVariables(release=3)).services["web"].environment == {"A": "7 3"}


def test_services_and_defaults_have_values(loads: Loads) -> None:
    """Of a service, and of `deploy` for the release command."""
    text = (
        "name: shop\ndeploy:\n  environment: {A: '${run}'}\n  services: {w: {environment: {B: '${branch}'}}, v: {}}\n"
    )
    found = spec(loads(text)).with_variables(VALUES)
    assert found.services["w"].environment == {"A": "7", "B": "main"}
    assert found.services["v"].environment == {"A": "7"}
    assert found.shared is not None
    assert found.shared.environment == {"A": "7"}


def test_a_parameter_of_the_same_name_goes_before(loads: Loads) -> None:
    """So files that declare one stay what they are, in any place."""
    text = "parameters: {commit: {default: mine}}\n" + with_deploy("  environment: {A: '${commit}'}")
    assert loads(text.replace("branch: main", "branch: ${commit}")).pipeline.deploy.environment == {"A": "mine"}


def test_a_literal_is_no_variable(loads: Loads) -> None:
    """Nor is text of a parameter, of the environment or of a file."""
    Path(".env").write_text("F='${run}'\n")
    text = "parameters: {p: {default: '$${run}'}}\n" + with_deploy(
        "  env_file: .env\n  environment: {A: '$${run}', B: '${env:B}', C: '${p}', D: , E: '$${{}run}'}"
    )
    found = spec(loads(text, environ={"B": "${run}", "D": "${run}"})).with_variables(VALUES)
    resolved = Secrets().resolve_all(found.services["web"].environment)
    assert resolved == {"F": "${run}", "A": "${run}", "B": "${run}", "C": "${run}", "D": "${run}", "E": "${{}run}"}


def test_a_value_is_no_reference(loads: Loads) -> None:
    """A branch may have any name."""
    found = spec(loads(with_deploy("  environment: {A: '${branch}'}"))).with_variables(
        RunVariables(branch="${secret:A}${run}")
    )
    assert Secrets({"A": "hidden"}).resolve_all(found.services["web"].environment) == {"A": "${secret:A}${run}"}


@given(st.text("${}runsecet:A", max_size=20))
def test_an_escaped_text_is_itself_again(text: str) -> None:
    """Whatever it looks like, values change nothing in it."""
    assert unescape(VALUES.fill(escape(text))) == text
    assert Secrets({"A": "hidden"}).resolve(VALUES.fill(escape(text))) == text


@pytest.mark.parametrize(
    ("text", "value", "is_value"),
    [
        ("${run}", "12", True),
        ("v${run}-${branch}!", "v1-release/2!", True),
        ("${commit}", "c" * 40, True),
        ("${commit}", "c" * 39, False),
        ("${short_commit}", "abcdef0", True),
        ("${run}", "one", False),
        ("a.${run}", "ab1", False),
        ("${branch}", "", False),
        ("same", "same", False),
    ],
)
def test_a_value_that_a_text_may_have(text: str, value: str, is_value: bool) -> None:
    """A text without a variable has no value but itself."""
    assert fits(text, value) == is_value


def test_another_run_has_the_same_configuration(loads: Loads) -> None:
    """The values of a stored release replace the variables, and nothing else."""
    text = with_deploy(
        "  environment: {A: '${run}', B: b}\n  release_command: {command: [m], environment: {C: '${run}'}}"
    )
    stored = spec(loads(text)).with_variables(VALUES)
    assert spec(loads(text)).with_values_of(stored) == stored
    assert spec(loads(text.replace("B: b", "B: c"))).with_values_of(stored) != stored
    assert spec(loads(text.replace("A: '${run}'", "A: 'r${run}'"))).with_values_of(stored) != stored
    assert spec(loads(text.replace("{C: '${run}'}", "{D: '${run}'}"))).with_values_of(stored) != stored


_PLACES = (
    "build.args, build.push, build.labels, deploy.environment, deploy.labels, deploy.services.NAME.environment, "
    "deploy.services.NAME.labels and deploy.release_command.environment"
)
_RELEASE = "must not contain ${release}, whose number is not known before the deployment (write ${run} instead)"
_PUSH = "is not a valid name of an image; write registry.example.com/shop:${short_commit}"


@pytest.mark.parametrize(
    ("right", "written", "error"),
    [
        (
            "name: shop",
            "name: ${commit}",
            f"1:7: name: must not contain ${{commit}} (variables of a run are allowed in {_PLACES} only; for a literal "
            "write $${commit})",
        ),
        (
            "branch: main",
            "branch: r-${run}",
            f"4:11: source.branch: must not contain ${{run}} (variables of a run are allowed in {_PLACES} only; for a "
            "literal write $${run})",
        ),
        (
            "  replicas: 3",
            "  replicas: 3\n  command: ['${release}']",
            f"11:13: deploy.command[0]: must not contain ${{release}} (variables of a run are allowed in {_PLACES} "
            "only; for a literal write $${release})",
        ),
        (
            "test: {command: [make, test]}",
            "test: {command: [make, test], environment: {A: '${branch}'}}",
            f"7:50: build.test.environment.A: must not contain ${{branch}} (variables of a run are allowed in "
            f"{_PLACES} only; for a literal write $${{branch}})",
        ),
        (
            "name: shop",
            "name: shop\nparameters: {a: {default: '${short_commit}'}}",
            f"2:27: parameters.a.default: must not contain ${{short_commit}} (variables of a run are allowed in "
            f"{_PLACES} only; for a literal write $${{short_commit}})",
        ),
        ("  context: app", "  context: app\n  args: {A: '${release}'}", f"7:13: build.args.A: {_RELEASE}"),
        ("  context: app", "  context: app\n  args: ['A=${release}']", f"7:10: build.args[0]: {_RELEASE}"),
        ("  context: app", "  context: app\n  labels: {A: '${release}'}", f"7:15: build.labels.A: {_RELEASE}"),
        ("  context: app", "  context: app\n  push: ['a:${release}']", f"7:10: build.push[0]: {_RELEASE}"),
        (
            "  context: app",
            "  context: app\n  args: {A: '${comit}'}",
            "7:13: build.args.A: unknown parameter comit (did you mean commit?; for a literal write $${comit})",
        ),
        (
            "  replicas: 3",
            "  replicas: 3\n  environment: {A: '${relase}'}",
            "11:20: deploy.environment.A: unknown parameter relase (did you mean release?; for a literal write "
            "$${relase})",
        ),
        ("  context: app", "  context: app\n  push: [Shop]", f"7:10: build.push[0]: 'Shop' {_PUSH}"),
        ("  context: app", "  context: app\n  push: ['a b']", f"7:10: build.push[0]: 'a b' {_PUSH}"),
        ("  context: app", "  context: app\n  push: ['']", f"7:10: build.push[0]: '' {_PUSH}"),
        (
            "  context: app",
            "  context: app\n  push: ['shop:${run}:1']",
            f"7:10: build.push[0]: 'shop:${{run}}:1' {_PUSH}",
        ),
        (
            "  context: app",
            f"  context: app\n  push: ['shop@sha256:{'0' * 64}']",
            f"7:10: build.push[0]: 'shop@sha256:{'0' * 64}' {_PUSH}",
        ),
        (
            "  context: app",
            "  context: app\n  push: shop:1",
            "7:9: build.push: must be a list, got 'shop:1' (write [shop:1])",
        ),
        ("  context: app", "  context: app\n  push: [1]", '7:10: build.push[0]: must be text, got 1 (write "1")'),
        (
            "  context: app",
            "  context: app\n  push: ['${secret:A}:1']",
            "7:10: build.push[0]: must not contain a secret (secrets are allowed in deploy.environment, "
            "deploy.services.*.environment, deploy.release_command.environment, "
            "deploy.hooks.*.*.environment, deploy.hooks.*.*.http, deploy.services.*.hooks.*.*.environment, "
            "deploy.services.*.hooks.*.*.http, accessories.*.environment, "
            "build.secrets, build.test.environment, build.test.services, triggers.webhooks, reporters, source.with, "
            "build.with and deploy.with only)",
        ),
        (
            "  context: app",
            "  context: app\n  labels: {penstock.home: a}",
            "7:27: build.labels.penstock.home: penstock.home must have another name: Penstock sets the labels that "
            "begin with penstock.",
        ),
        (
            "  context: app",
            "  context: app\n  labels: ['=a']",
            "7:12: build.labels[0]: '' is not a valid name of a label; write NAME: value",
        ),
        (
            "  context: app",
            "  context: app\n  labels: [5]",
            "7:12: build.labels[0]: must be text such as NAME=value, got 5",
        ),
        (
            "  context: app",
            "  context: app\n  labels: a",
            "7:11: build.labels: must be a list or a mapping of labels, got 'a'",
        ),
        (
            "  replicas: 3",
            "  replicas: 3\n  image: shop:1",
            "7:9: build.test: cannot run with deploy.image, because nothing is built; test the image where it is built",
        ),
        (
            "  test: {command: [make, test]}\ndeploy:\n  target_group: web",
            "deploy:\n  image: shop:1\n  target_group: web",
            "6:3: build: must be left out with deploy.image, because nothing is built",
        ),
        (
            "  replicas: 3",
            "  replicas: 3\n  image: Shop:1",
            "11:10: deploy.image: 'Shop:1' is not a valid name of an image; write postgres:16 or "
            "registry.example.com/db:2",
        ),
        (
            "  replicas: 3",
            "  replicas: 3\n  image: shop@sha256:12",
            "11:10: deploy.image: 'shop@sha256:12' is not a valid name of an image; write postgres:16 or "
            "registry.example.com/db:2",
        ),
        ("  replicas: 3", "  replicas: 3\n  image: [a]", "11:10: deploy.image: must be text, got a list"),
        (
            "name: shop",
            "name: shop\ntriggers: {schedule: [{cron: '0 4 * * *', pul: true}]}",
            "2:43: triggers.schedule[0].pul: unknown key (did you mean pull?)",
        ),
        (
            "name: shop",
            "name: shop\ntriggers: {schedule: [{cron: '0 4 * * *', no_cache: often}]}",
            "2:53: triggers.schedule[0].no_cache: must be true or false, got 'often'",
        ),
    ],
)
def test_each_mistake_has_its_exact_error(right: str, written: str, error: str, loads: Loads) -> None:
    """With the place, and where a variable may be."""
    assert right in GOOD
    with pytest.raises(ConfigError) as caught:
        loads(GOOD.replace(right, written, 1), environ={"A": "x"})
    assert caught.value.message == f"pipeline.yaml:{error}"


def test_a_given_image_needs_no_build(loads: Loads) -> None:
    """It is that of each service without an image of its own."""
    text = "name: shop\ndeploy:\n  image: shop:1\n  services: {web: {}, cache: {image: 'redis:7'}}\n"
    assert loads(text).pipeline.deploy.images() == {"web": "shop:1", "cache": "redis:7"}
    assert loads("name: shop\ndeploy: {image: 'shop:1'}\n").pipeline.deploy.images() == {"web": "shop:1"}
    digest = f"registry.example.com:5000/team/shop:1.2@sha256:{'0' * 64}"
    assert loads(f"name: shop\ndeploy: {{image: '{digest}'}}\n").pipeline.deploy.image == digest
