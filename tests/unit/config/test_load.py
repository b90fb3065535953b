"""Loading of a valid pipeline.yaml: parameters, variables, defaults."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.base.errors import ConfigError
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.loads import Loads

PARAMETERS = """
parameters:
  replicas: {type: integer, default: 3, minimum: 1, maximum: 5}
  host: {default: example.com, pattern: "[a-z.]+"}
  size: {type: string, default: small, allowed_values: [small, large]}
  debug: {type: boolean, default: false}
"""


def with_parameters(**environment: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in environment.items())
    text = GOOD.replace("replicas: 3\n", f"replicas: ${{replicas}}\n  environment:\n{lines or '    A: b'}\n")
    return PARAMETERS + text


def test_defaults_are_for_one_machine(loads: Loads) -> None:
    """A key that is not set has the default of the reference."""
    pipeline = loads(GOOD).pipeline
    group = pipeline.balancer.target_groups["web"]
    assert pipeline.deploy.rolling.max_surge == 1
    assert pipeline.deploy.rolling.max_unavailable == 0
    assert group.deregistration_delay == timedelta(seconds=30)
    assert group.health_check.timeout == timedelta(milliseconds=800)


def test_a_shorter_interval_brings_a_timeout_that_fits_it(loads: Loads) -> None:
    """A shorter interval lowers the default of the timeout."""
    group = loads(GOOD.replace("interval: 1s", "interval: 200ms")).pipeline.balancer.target_groups["web"]
    assert group.health_check.timeout == timedelta(milliseconds=160)


def test_a_parameter_has_its_default_or_what_the_command_line_gives(loads: Loads) -> None:
    """The command line overrides a parameter's default, and the value keeps its type."""
    assert loads(with_parameters()).pipeline.deploy.replicas == 3
    assert loads(with_parameters(), {"replicas": "5"}).pipeline.deploy.replicas == 5


def test_parameters_within_a_text(loads: Loads) -> None:
    """Parameters are resolved within text, booleans in lower case, and `$${` is a literal `${`."""
    text = with_parameters(URL="https://${host}/${size}", DEBUG='"is ${debug}"', SHELL="$${HOME}")
    environment = loads(text, {"debug": "true"}).pipeline.deploy.environment
    assert environment == {"URL": "https://example.com/small", "DEBUG": "is true", "SHELL": "${HOME}"}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"replicas": "6"}, "-p replicas=6: must be at most 5, got 6"),
        ({"replicas": "0"}, "-p replicas=0: must be at least 1, got 0"),
        ({"replicas": "two"}, "-p replicas=two: must be a whole number, got two"),
        ({"replicas": "nan"}, "-p replicas=nan: must be a whole number, got nan"),
        ({"host": "Example"}, "-p host=Example: must match [a-z.]+, got Example"),
        ({"size": "medium"}, "-p size=medium: must be one of small, large, got medium"),
        ({"debug": "yes"}, "-p debug=yes: must be true or false, got yes"),
        ({"replcas": "4"}, "-p replcas=4: unknown parameter (did you mean replicas?)"),
    ],
)
def test_a_value_that_does_not_suit_its_parameter(given: dict[str, str], error: str, loads: Loads) -> None:
    """Values of the command line are checked against the parameter's type and range."""
    with pytest.raises(ConfigError) as caught:
        loads(with_parameters(), given)
    assert caught.value.message == f"pipeline.yaml: {error}"


def test_a_variable_of_the_environment_and_its_default(loads: Loads) -> None:
    """`${env:NAME:-default}` uses the default only if the variable is not set."""
    text = GOOD.replace("branch: main", "branch: ${env:BRANCH:-main}")
    assert loads(text).pipeline.source.branch == "main"
    assert loads(text, environ={"BRANCH": "next"}).pipeline.source.branch == "next"


def test_numbers_that_only_look_like_something_else(loads: Loads) -> None:
    """As in YAML 1.2, `no` and `on` are text, and a quoted number is text."""
    text = GOOD.replace("replicas: 3", "replicas: 3\n  environment: {A: no, B: on, C: '012', D: 12:30:45}")
    assert loads(text).pipeline.deploy.environment == {"A": "no", "B": "on", "C": "012", "D": "12:30:45"}


def test_two_load_balancers_with_one_port(loads: Loads) -> None:
    """Listeners of several load balancers may have one port, if their addresses do not overlap."""
    listeners = "listeners: [{port: 8000, default_action: {forward: web}}]"
    other = f"    other:\n      zones: {{a: 127.0.0.3, b: 127.0.0.4}}\n      {listeners}\n    edge:\n"
    text = GOOD.replace("    edge:\n", f"{other}      address: 127.0.0.2\n")
    assert loads(text).pipeline.balancer.load_balancers.keys() == {"edge", "other"}


def test_a_byte_order_mark_is_no_mistake(loads: Loads) -> None:
    """A byte order mark at the start of the file is ignored."""
    assert loads(b"\xef\xbb\xbf" + GOOD.encode()).pipeline.name == "shop"
