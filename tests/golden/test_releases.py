"""Releases: the form in which they are stored, and the template by which containers are found to be up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from stages.deploy.desired import desired
from tests.golden.golden_file import Golden

_HERE = Path(__file__).parent
# Where the pipeline.yaml is said to be: paths of certificates are absolute in a release.
_DIRECTORY = "/srv/shop"
CASES: dict[str, Any] = YAML(typ="safe").load((_HERE / "releases.yaml").read_text())
# Written by version 0.1.0, and never rewritten: a home may hold such releases for years.
VERSION_1: dict[str, Any] = json.loads((_HERE / "releases-version-1.json").read_text())

# The limits that Docker sets by default, and that the containers of these releases have.
VERSION_1_LIMITS = {
    "pids_limit": -1,
    "cap_add": ["AUDIT_WRITE", "MKNOD", "NET_RAW"],
    "cap_drop": [],
    "no_new_privileges": False,
}


@pytest.mark.parametrize("name", CASES)
def test_a_release_is_stored_in_the_same_form(name: str, tmp_path: Path, golden: Golden) -> None:
    """A pipeline.yaml and an image become the golden JSON, with the golden template."""
    case = CASES[name]
    path = tmp_path / "pipeline.yaml"
    path.write_text(json.dumps({"name": "shop", **case["pipeline"]}))
    image = case["image"]
    spec = ReleaseSpec.of(
        load(path, {}, case.get("secrets", {})),
        image_id=image["id"],
        image_tag=image["tag"],
        sha="8d0ba1e6a4cbb4b17c6d19f9a4a29e7b2c1f5e33",
        subject='Say "hällo"',
    )
    stored = json.loads(spec.model_dump_json().replace(str(tmp_path), _DIRECTORY))
    replicas = case["pipeline"]["deploy"].get("replicas", 1)
    golden(f"releases/{name}.json", _as_json({"spec": stored, **_wanted(spec, replicas, case)}))


@pytest.mark.parametrize("name", VERSION_1)
def test_a_release_of_version_1_is_read(name: str) -> None:
    """A release of version 1 is read as version 2 stores it, without replicas and with Docker's limits.

    Its template is unchanged, so no container is replaced.
    """
    stored = VERSION_1[name]
    spec = ReleaseSpec.parse(json.dumps(stored["spec"]))
    expected = json.loads((_HERE / f"files/releases/{name}.json").read_text())
    expected["spec"]["services"]["web"] |= VERSION_1_LIMITS
    assert json.loads(spec.model_dump_json()) == expected["spec"]
    assert expected["template"] != stored["template"]
    assert _wanted(spec, stored["replicas"], CASES[name]) == {
        key: value for key, value in stored.items() if key != "spec"
    }


def test_every_release_of_version_1_is_there() -> None:
    """Each case of today was stored by the first version too, so that none is forgotten."""
    assert VERSION_1.keys() == CASES.keys()


def _wanted(spec: ReleaseSpec, replicas: int, case: dict[str, Any]) -> dict[str, Any]:
    """The template and the counts that a rollout goes by."""
    wanted = desired(spec.service("web"), replicas, Secrets(case.get("secrets", {})))
    return {
        "template": wanted.template,
        "replicas": wanted.replicas,
        "max_surge": wanted.max_surge,
        "max_unavailable": wanted.max_unavailable,
        "deregistration_delay": wanted.deregistration_delay.total_seconds(),
        "deploy_timeout": wanted.deploy_timeout.total_seconds(),
    }


def _as_json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
