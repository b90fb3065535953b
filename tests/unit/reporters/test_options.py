"""Options of reporters in pipeline.yaml, and the errors of invalid ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from pipeline.config.models import Pipeline
from pipeline.config.reference import reference_page
from pipeline.config.schema import json_schema
from pipeline.reporters.webhook import WebhookReporter

REST = """\
name: shop
deploy: {target_group: web}
balancer:
  target_groups: {web: {port: 80}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
reporters:
"""


def loaded(folder: Path, text: str) -> Pipeline:
    path = folder / "pipeline.yaml"
    path.write_text(REST + text)
    return load(path, {}, {}).pipeline


def wrong(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return [line.removeprefix(f"{folder}/pipeline.yaml:") for line in caught.value.message.splitlines()]


def test_a_reporter_and_its_options(tmp_path: Path) -> None:
    """Options have the reporter's defaults and may contain parameters."""
    text = "  own: {type: webhook, url: 'https://${host}/hook'}\nparameters: {host: {default: example.com}}\n"
    own = loaded(tmp_path, text).reporters["own"]
    assert own == WebhookReporter(type="webhook", url="https://example.com/hook")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "  hub: {type: githb}\n",
            "7:15: reporters.hub.type: unknown reporter 'githb' (did you mean github?)",
        ),
        (
            "  hub: {type: jabber}\n",
            "7:15: reporters.hub.type: unknown reporter 'jabber' (known: gitea, github, gitlab, slack, webhook)",
        ),
        ("  hub: {type: [github]}\n", "reporters.hub.type: must be text, got a list (one of "),
        (
            "  hub: {url: x}\n",
            "7:3: reporters.hub.type: is missing (one of gitea, github, gitlab, slack, webhook)",
        ),
        ("  hub: github\n", "7:8: reporters.hub: must be a mapping of keys, got 'github'"),
        (
            "  my hub: {type: webhook, url: 'https://example.com'}\n",
            "7:11: reporters.my hub: must be 1 to 32 letters, digits and inner dashes, got 'my hub'",
        ),
        (
            "  own: {type: webhook}\n",
            "7:3: reporters.own.url: is missing (URL that receives each event as a POST. May contain ${secret:NAME})",
        ),
        (
            "  own:\n    type: webhook\n    ulr: https://example.com\n",
            "9:10: reporters.own.ulr: unknown key (did you mean url?)",
        ),
        (
            "  own: {type: webhook, url: 'https://example.com', colour: red}\n",
            "7:60: reporters.own.colour: unknown key (known: secret, type, url)",
        ),
        ("  own: {type: webhook, url: 7}\n", '7:29: reporters.own.url: must be text, got 7 (write "7")'),
        (
            "  own: {type: webhook, url: example.com}\n",
            "7:29: reporters.own.url: 'example.com' is not a valid URL; write https://HOST/…",
        ),
        (
            "  own: {type: webhook, url: 'https://example.com', secret: hunter-two}\n",
            "7:60: reporters.own.secret: must be a reference such as ${secret:NAME}, "
            "with its value in the environment or secrets.file",
        ),
        (
            "  chat: {type: slack, url: 'https://hooks.example.com/x', states: [succeded]}\n",
            "reporters.chat.states[0]: must be one of running, succeeded, failed, rolled_back, rollback_failed, "
            "cancelled, superseded, skipped, interrupted, got 'succeded' (did you mean succeeded?)",
        ),
    ],
)
def test_each_mistake(text: str, error: str, tmp_path: Path) -> None:
    """An error has the position, the key, the reason and a hint."""
    assert any(error in line for line in wrong(tmp_path, text))


def test_all_mistakes_of_all_reporters_at_once(tmp_path: Path) -> None:
    """The mistakes of all reporters are reported at once."""
    text = "  hub: {type: githb}\n  own: {type: webhook, url: foo, extra: 1}\n"
    assert [line.partition(" ")[0] for line in wrong(tmp_path, text)] == ["7:15:", "8:29:", "8:41:"]


@pytest.mark.parametrize("repository", ["shop", "ada/", "/shop", "ada/..", "ada//shop", "ada/shop?a", "ada/sh\\x07op"])
def test_an_invalid_repository(repository: str, tmp_path: Path) -> None:
    """A repository that is not of the form owner/name is an error."""
    text = f'  hub: {{type: github, token: x, repository: "{repository}"}}\n'
    assert any("is not a valid repository; write owner/name" in line for line in wrong(tmp_path, text))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a third-party package with a reporter."""
    packages = tmp_path / "site-packages"
    described = packages / "pigeon-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(
        "[pipeline.reporters]\npigeon = pigeon:Pigeon\nsick = pigeon_that_is_not_there:Pigeon\nstone = pigeon:Stone\n"
    )
    (packages / "pigeon.py").write_text(
        "from pydantic import Field\n"
        "from pipeline.reporters import Report, Reporter, ResolveSecrets\n"
        "class Stone: ...\n"
        "class Pigeon(Reporter):\n"
        '    """A pigeon."""\n'
        '    loft: str = Field(description="Where it flies to.")\n'
        '    speed: int = Field(60, ge=1, description="How fast.")\n'
        "    def report(self, report: Report, reveal: ResolveSecrets) -> None:\n"
        "        raise RuntimeError(reveal(self.loft))\n"
    )
    monkeypatch.syspath_prepend(packages)
    monkeypatch.delitem(sys.modules, "pigeon", raising=False)
    return packages


def test_a_third_party_reporter(elsewhere: Path, tmp_path: Path) -> None:
    """A third-party reporter has options, errors, schema and reference like a built-in one."""
    assert loaded(tmp_path, "  bird: {type: pigeon, loft: Bergen}\n").reporters["bird"].model_dump() == {
        "type": "pigeon",
        "loft": "Bergen",
        "speed": 60,
    }
    assert wrong(tmp_path, "  bird: {type: pigon}\n") == [
        "7:16: reporters.bird.type: unknown reporter 'pigon' (did you mean pigeon?)"
    ]
    assert wrong(tmp_path, "  bird: {type: pigeon, lof: Bergen, speed: 0}\n") == [
        "7:29: reporters.bird.lof: unknown key (did you mean loft?)",
        "7:44: reporters.bird.speed: must be at least 1, got 0",
    ]


def test_a_package_that_cannot_be_loaded(elsewhere: Path, tmp_path: Path) -> None:
    """A package that fails to load, or is not a reporter, is an error at the key `type`."""
    assert wrong(tmp_path, "  bird: {type: sick}\n") == [
        "7:16: reporters.bird.type: cannot load reporter sick: "
        "ModuleNotFoundError(\"No module named 'pigeon_that_is_not_there'\")"
    ]
    assert wrong(tmp_path, "  bird: {type: stone}\n") == [
        "7:16: reporters.bird.type: pigeon:Stone (reporter stone) must be a subclass of pipeline.reporters.Reporter"
    ]


def test_every_option_is_documented() -> None:
    """Every reporter is in the reference and in the JSON Schema."""
    page = reference_page()
    for name in ("gitea", "github", "gitlab", "slack", "webhook"):
        assert f"## `reporters.NAME, type: {name}`" in page
    (models,) = json_schema()["properties"]["reporters"]["patternProperties"].values()
    kinds = [model["properties"]["type"]["anyOf"][0]["const"] for model in models["anyOf"]]
    assert kinds == ["gitea", "github", "gitlab", "slack", "webhook"]
    assert all(model["additionalProperties"] is False for model in models["anyOf"])
