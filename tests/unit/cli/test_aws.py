"""`pipeline aws keys`, and the options of the AWS APIs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.aws.keys import AccessKeys
from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli import aws, balancer_serve, serve
from pipeline.cli.aws_endpoint import check_aws_options
from pipeline.parameter_store.store import ParameterStore
from tests.support.aws import AwsServer
from tests.support.ports import free_port
from tests.support.waiting import until


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A new home."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    return Home.locate()


def run(*words: str) -> str:
    done = CliRunner().invoke(aws.command, words, catch_exceptions=False, standalone_mode=False)
    return done.output


def test_keys(home: Home) -> None:
    """A key is created as two variables for a shell, listed without its secret, and deleted."""
    assert run("keys", "list") == "there are no access keys\n"
    printed = run("keys", "create", "--owner", "shop")
    found = re.fullmatch(r"export AWS_ACCESS_KEY_ID=(\w{20})\nexport AWS_SECRET_ACCESS_KEY=(\w{40})\n", printed)
    assert found is not None
    listed = run("keys", "list")
    assert (found[1] in listed, "shop" in listed, found[2] in listed) == (True, True, False)
    assert run("keys", "delete", found[1]) == f"deleted {found[1]}\n"
    assert run("keys", "list", "--json") == "[]\n"


def test_keys_as_json(home: Home) -> None:
    """The secret is printed at the creation only."""
    made = json.loads(run("keys", "create", "--json"))
    assert set(made) == {"id", "secret", "owner", "created"}
    (listed,) = json.loads(run("keys", "list", "--json"))
    assert listed == {key: value for key, value in made.items() if key != "secret"}


def test_parameters(home: Home) -> None:
    """A parameter is put, put again as a new version, listed and deleted."""
    assert run("parameters", "list") == "there are no parameters\n"
    assert run("parameters", "put", "/shop/size", "1") == "/shop/size: version 1\n"
    assert run("parameters", "put", "/shop/size", "2") == "/shop/size: version 2\n"
    assert "/shop/size  String  2" in run("parameters", "list")
    assert json.loads(run("parameters", "list", "--json"))[0]["Value"] == "2"
    assert run("parameters", "delete", "/shop/size") == "deleted /shop/size\n"
    with pytest.raises(ConfigError, match=r"Parameter /shop/size not found\."):
        run("parameters", "delete", "/shop/size")


def test_a_secret_parameter(home: Home) -> None:
    """Its value comes from the standard input, and is not listed."""
    words = ["parameters", "put", "/shop/key", "-", "--type", "SecureString"]
    CliRunner().invoke(aws.command, words, input="open sesame\n", catch_exceptions=False, standalone_mode=False)
    assert "sesame" not in run("parameters", "list")
    assert ParameterStore(home.aws).version("aws", "/shop/key").value == "open sesame"


@pytest.mark.parametrize(
    ("aws_address", "zones", "message"),
    [
        (None, ["a=127.0.0.1"], "--zone requires --aws"),
        ("0.0.0.0:4566", [], "--aws: 0.0.0.0:4566 is not a loopback address"),
        ("example.com:4566", [], "--aws: example.com:4566 is not a loopback address"),
        ("127.0.0.1:4566", ["a"], "--zone: a is not a zone"),
        ("127.0.0.1:4566", ["a=0.0.0.0"], "--zone: a=0.0.0.0 is not a zone"),
        ("127.0.0.1:4566", ["A=127.0.0.1"], "--zone: A=127.0.0.1 is not a zone"),
        ("127.0.0.1:4566", ["a=127.0.0.1", "a=127.0.0.2"], "--zone: two zones have the name a"),
        ("127.0.0.1:4566", ["a=127.0.0.1", "b=127.0.0.1"], "--zone: two zones have the address 127.0.0.1"),
        ("127.0.0.1:4566", ["a=127.9.0.0/16", "b=127.9.1.2"], "--zone: two zones have the address 127.9.1.2"),
        ("127.0.0.1:4566", ["a=127.10.0.1/24"], "--zone: a=127.10.0.1/24 is not a zone"),
        ("127.0.0.1:4566", ["a=10.0.0.0/24"], "--zone: the prefix of a=10.0.0.0/24 must be in 127.0.0.0/8"),
        ("127.0.0.1:4566", ["a=fd00::/64"], "--zone: the prefix of a=fd00::/64 must be in 127.0.0.0/8"),
        ("127.0.0.1:4566", ["a=127.64.3.0/24"], "--zone: a=127.64.3.0/24 is in 127.64.0.0/16"),
        ("127.0.0.1:4566", ["a=127.64.3.1"], "--zone: a=127.64.3.1 is in 127.64.0.0/16"),
    ],
)
def test_options(aws_address: str | None, zones: list[str], message: str) -> None:
    """A wrong address or zone is refused with the reason."""
    with pytest.raises(ConfigError) as caught:
        check_aws_options(aws_address, zones)
    assert caught.value.message == message


@pytest.mark.parametrize("address", ["127.0.0.1:4566", "[::1]:4566", "localhost:4566", "127.0.0.9:1"])
def test_loopback(address: str) -> None:
    """Every loopback address is accepted."""
    check_aws_options(address, ["a=127.0.0.1", "b=::1"])


@pytest.mark.parametrize("command", [serve.command, balancer_serve.command])
def test_refused_before_anything_starts(home: Home, command: object) -> None:
    """Both commands refuse a public address, and do not become the daemon."""
    words = ["--aws", "192.0.2.1:4566"]
    with pytest.raises(ConfigError, match="not a loopback address"):
        CliRunner().invoke(command, words, catch_exceptions=False, standalone_mode=False)  # type: ignore[arg-type]


def test_without_botocore(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without botocore, the command to install it is named."""
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(ConfigError) as caught:
        CliRunner().invoke(balancer_serve.command, [], catch_exceptions=False, standalone_mode=False)
    assert caught.value.hint == "pip install 'penstock-cd[aws]'"


def test_balancer_serve(home: Home) -> None:
    """`pipeline balancer serve` serves until SIGTERM, and no second daemon of the home starts meanwhile."""
    address = f"127.0.0.1:{free_port()}"
    words = ["balancer", "serve", "--aws", address, "--zone", "one=127.0.0.1"]
    command = [sys.executable, "-m", "pipeline.cli.main", *words]
    keys = AccessKeys(home.aws)
    server = AwsServer(f"http://{address}", keys, keys.create("aws"))
    with subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == f"serving the AWS APIs at http://{address}\n"
            zones = server.client("ec2").describe_availability_zones()["AvailabilityZones"]
            assert [zone["ZoneName"] for zone in zones] == ["one"]
            second = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (second.returncode, "pipeline balancer serve" in second.stderr) == (3, True)
            process.send_signal(signal.SIGTERM)
            until(lambda: process.poll() is not None, "the end of the server")
            assert process.returncode == 0
        finally:
            process.kill()
