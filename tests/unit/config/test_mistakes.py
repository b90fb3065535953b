"""Every mistake in pipeline.yaml is reported with its position, its reason and a hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError, ExitCode
from pipeline.config.load import load
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.accessory_mistakes import ACCESSORY_MISTAKES
from tests.unit.config.balancer_mistakes import BALANCER_MISTAKES
from tests.unit.config.container_mistakes import CONTAINER_MISTAKES
from tests.unit.config.endpoint_mistakes import ENDPOINT_MISTAKES
from tests.unit.config.gateway_mistakes import GATEWAY_MISTAKES
from tests.unit.config.host_mistakes import HOST_MISTAKES
from tests.unit.config.loads import Loads
from tests.unit.config.mistakes import MISTAKES, Bad
from tests.unit.config.network_mistakes import NETWORK_MISTAKES
from tests.unit.config.swarm_mistakes import SWARM_MISTAKES


def test_the_good_file_is_good(loads: Loads) -> None:
    """The file that the table of mistakes changes is valid."""
    assert loads(GOOD).pipeline.deploy.replicas == 3


@pytest.mark.parametrize(
    "bad",
    [
        *MISTAKES,
        *BALANCER_MISTAKES,
        *NETWORK_MISTAKES,
        *GATEWAY_MISTAKES,
        *ENDPOINT_MISTAKES,
        *CONTAINER_MISTAKES,
        *ACCESSORY_MISTAKES,
        *HOST_MISTAKES,
        *SWARM_MISTAKES,
    ],
    ids=lambda bad: bad.mistake,
)
def test_each_mistake_has_its_exact_error(bad: Bad, loads: Loads) -> None:
    """One mistake gives exactly one error, with position, key, reason and hint."""
    assert bad.right in GOOD
    with pytest.raises(ConfigError) as caught:
        loads(GOOD.replace(bad.right, bad.written, 1), environ={"HOME": "/root"})
    assert caught.value.message == f"pipeline.yaml:{bad.error}".replace("{cwd}", str(Path.cwd()))
    assert caught.value.exit_code is ExitCode.BAD_CONFIGURATION


def test_all_mistakes_are_reported_in_the_order_of_their_lines(loads: Loads) -> None:
    """All mistakes of a file are reported at once, in the order of their lines."""
    text = GOOD.replace("forward: web", "forward: wbe").replace("replicas: 3", "replicas: 0").replace("name:", "nmae:")
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert caught.value.message.splitlines() == [
        "pipeline.yaml:1:1: nmae: unknown key (did you mean name?)",
        "pipeline.yaml:10:13: deploy.replicas: must be at least 1, got 0",
        "pipeline.yaml:19:50: balancer.load_balancers.edge.listeners[0].default_action.forward: "
        "there is no target group wbe (did you mean web?)",
    ]


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{former}'] * 9)}]\n" for former, name in zip("abcde", "bcdef", strict=True)
)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "pipeline.yaml: is empty (create one with `pipeline init --force`)"),
        (b"# nothing but a comment\n", "pipeline.yaml: is empty (create one with `pipeline init --force`)"),
        (b"just words", "pipeline.yaml:1:1: must be a mapping of keys such as name: and deploy:"),
        (b"- name: shop\n", "pipeline.yaml:1:1: must be a mapping of keys such as name: and deploy:"),
        (b"name: shop\n" * 10**6, "pipeline.yaml: must be at most 256 KiB"),
        (b"name: shop\nnote: \xe4", "pipeline.yaml:2:7: is not UTF-8: byte 0xe4 (save the file as UTF-8)"),
        (b"name: shop\nsource:\n\tbranch: main\n", "pipeline.yaml:3:1: indentation must not contain tabs (use spaces)"),
        (b"name: \x07\n", "pipeline.yaml:1:7: contains the unprintable character '\\x07'"),
        (b"{" * 200, "pipeline.yaml:1:201: expected the node content, but found '<stream end>'"),
        (b"a: " + b"[" * 60 + b"]" * 60, "pipeline.yaml:1:54: is nested deeper than 50 levels"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "pipeline.yaml:1:1: is nested deeper than 50 levels"),
        (
            BOMB.encode(),
            "pipeline.yaml:1:14: must have at most 10000 values, aliases included",
        ),
    ],
    ids=lambda value: value[:20].decode(errors="replace") if isinstance(value, bytes) else "",
)
def test_content_that_is_not_a_mapping(content: bytes, error: str, loads: Loads) -> None:
    """Content that is not a YAML mapping gives one error, quickly."""
    with pytest.raises(ConfigError) as caught:
        loads(content)
    assert caught.value.message == error


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The error of a missing file has its path and the command that creates one."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "pipeline.yaml")
    assert str(caught.value) == f"{tmp_path}/pipeline.yaml does not exist\ncreate one with `pipeline init`"


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    """The error of a directory suggests the pipeline.yaml in it."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path} is a directory\nname the file: {tmp_path}/pipeline.yaml"
