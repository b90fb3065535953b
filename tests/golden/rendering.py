"""Declarations rendered to HAProxy's files. Every name of the balancer that the golden files depend on is used here.

Run as a program in the folder `declarations`, it prints JSON: name → files, each with its content.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.balancer.haproxy.configuration import render
from pipeline.balancer.jwks import read_keys, with_keys
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.registry import Phase, Registry

FOLDER = Path(__file__).with_name("declarations")
# Where a declaration says nothing else.
_OWNER = "shop"
_GROUPS = {"web": {"port": 80}}


def declarations() -> dict[str, Any]:
    """Every declaration, by a name that says what is declared."""
    yaml = YAML(typ="safe")
    return {name: case for path in sorted(FOLDER.glob("*.yaml")) for name, case in yaml.load(path.read_text()).items()}


def rendered_files(case: Mapping[str, Any]) -> dict[str, str]:
    """The files that HAProxy is started with. Of certificates, only the sources are listed."""
    registry = Registry()
    for owner, declared in case.get("owners", {_OWNER: case}).items():
        for step in (declared["former"], declared) if "former" in declared else (declared,):
            registry = _declare(registry, owner, step)
    found = render(with_keys(registry, read_keys(registry)))
    pem = "".join(f"{file.name} {file.kind}: {', '.join(file.sources)}\n" for file in found.pem)
    return {"haproxy.cfg": found.configuration, **found.texts(), **({"copies of certificates": pem} if pem else {})}


def _declare(registry: Registry, owner: str, declared: Mapping[str, Any]) -> Registry:
    declaration = Declaration.model_validate(
        {
            "target_groups": declared.get("target_groups", _GROUPS),
            "load_balancers": declared["load_balancers"],
        }
    )
    registry = registry.declare(owner, declaration)
    for group, targets in declared.get("targets", {}).items():
        for given in targets:
            target = Target(id=given["id"], address=given["address"], port=given["port"])
            registry = registry.register(owner, group, [target], ramps=given.get("ramps", False))
            registry = registry.move(owner, group, target.id, Phase(given["phase"]))
    return registry


def _tried(case: Mapping[str, Any]) -> dict[str, str]:
    """The files of one declaration; its fault must not hide those of the others."""
    try:
        return rendered_files(case)
    except Exception:  # noqa: BLE001
        return {"fault": traceback.format_exc()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: _tried(case) for name, case in declarations().items()}))
