"""The settings of the containers of a release."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.balancer.model import Declaration
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from pipeline.config.service import ServiceSettings

BALANCER = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 8080}},
        "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
    }
)
SETTINGS: list[dict[str, Any]] = [{"entrypoint": ()}, {"entrypoint": ("sh",)}, {"init": True}, {"shm_size": "1GiB"}]


def template(**settings: Any) -> str:
    """Return the template of a release with these settings."""
    services = {"web": ServiceSettings(target_group="web", **settings)}
    spec = ReleaseSpec(
        image_id="sha256:1", image_tag="shop:1", sha="1", subject="", services=services, balancer=BALANCER
    )
    return spec.service("web").template(Secrets({}))


@pytest.mark.parametrize(
    "settings", [{"entrypoint": ()}, {"entrypoint": ("sh",)}, {"init": True}, {"shm_size": "1GiB"}]
)
def test_a_changed_setting_replaces_the_containers(settings: dict[str, Any]) -> None:
    """Containers with another entrypoint, init or /dev/shm are not interchangeable."""
    assert template(**settings) != template()
    assert template(**settings) == template(**settings)


def test_a_function_has_its_own_entrypoint() -> None:
    """A function cannot be combined with an entrypoint."""
    with pytest.raises(ValidationError, match="must not be combined with entrypoint"):
        ServiceSettings(target_group="web", function="app.handler", entrypoint=())
