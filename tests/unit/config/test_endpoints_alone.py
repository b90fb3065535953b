"""A pipeline with endpoints of another pipeline's service, and no load balancer."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pipeline.balancer.model import EndpointsAlone, Undeclared
from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from pipeline.config.models import Pipeline
from pipeline.config.release import ReleaseSpec

ENDPOINTS = """\
  endpoints:
    office:
      service: firewall/inspection
      networks:
        clients: {namespace: office, addresses: [198.18.0.0/24]}
"""


def written(folder: Path, balancer: str) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(f"name: shop\ndeploy: {{}}\nbalancer:\n{balancer}")
    return path


def test_endpoints_alone_are_valid(tmp_path: Path) -> None:
    """It is a declaration, and not the absence of one. A stored release has it."""
    declared = load(written(tmp_path, ENDPOINTS)).pipeline.balancer
    assert type(declared) is EndpointsAlone
    stored = TypeAdapter(ReleaseSpec.model_fields["balancer"].annotation)
    assert stored.validate_json(stored.dump_json(declared)) == declared
    assert type(stored.validate_json(stored.dump_json(Undeclared()))) is Undeclared


@pytest.mark.parametrize(
    ("balancer", "problem"),
    [
        (ENDPOINTS.replace("service:", "servise:"), "6:7: balancer.endpoints.office.servise: unknown key"),
        (
            ENDPOINTS.replace("office, a", "a b, a"),
            "8:30: balancer.endpoints.office.networks.clients.namespace: must be",
        ),
        (ENDPOINTS.replace("firewall/", ""), "6:16: balancer.endpoints.office.service: there is no endpoint service"),
        ("  endpoints: {}\n", "4:14: balancer.endpoints: must have at least one item"),
        (f"  target_groups: {{web: {{port: 80}}}}\n{ENDPOINTS}", "balancer.load_balancers: is missing"),
        (f"  endpoint_services: {{a: {{load_balancers: [b]}}}}\n{ENDPOINTS}", "balancer.target_groups: is missing"),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, balancer: str, problem: str) -> None:
    """The same as beside a load balancer."""
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, balancer))
    assert problem in str(caught.value)


def test_the_json_schema_has_both_forms() -> None:
    """Editors require load balancers, or endpoints and nothing else."""
    declaration = Pipeline.model_json_schema()["$defs"]["Declaration"]
    assert "required" not in declaration
    assert declaration["anyOf"] == [
        {"required": ["target_groups", "load_balancers"]},
        {"required": ["endpoints"], "maxProperties": 1},
    ]
