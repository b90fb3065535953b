"""Declarations rendered to HAProxy's files. Every name of the balancer that the golden files depend on is used here.

Run as a program it prints JSON: name of a declaration, or path of a registry that was given → files with their content.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.balancer.haproxy.configuration import render
from pipeline.balancer.jwks import read_keys, with_keys
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.balancer.wanted import plane_config
from tests.support.paths import ROOT

FOLDER = Path(__file__).with_name("declarations")
# The threads and the user of HAProxy go into the fingerprint, so they are fixed, not masked.
_PROGRAM = """\
import os, runpy
os.cpu_count = lambda: 4
os.geteuid = lambda: 1000
runpy.run_module('tests.golden.rendering', run_name='__main__')
"""
# Where a declaration says nothing else.
_OWNER = "shop"
_GROUPS = {"web": {"port": 80}}


def declarations() -> dict[str, Any]:
    """Every declaration, by a name that says what is declared."""
    yaml = YAML(typ="safe")
    return {name: case for path in sorted(FOLDER.glob("*.yaml")) for name, case in yaml.load(path.read_text()).items()}


def run_rendering(*registries: str) -> dict[str, dict[str, str]]:
    """The files of each registry, or of every declaration; a fault stands under `fault`."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *registries],
        cwd=FOLDER,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _declared(case: Mapping[str, Any]) -> Registry:
    """Return the registry of a declaration, or of those of several owners."""
    registry = Registry()
    for owner, declared in case.get("owners", {_OWNER: case}).items():
        for step in (declared["before"], declared) if "before" in declared else (declared,):
            registry = _declare(registry, owner, step)
    return with_keys(registry, read_keys(registry))


def _files(registry: Registry) -> dict[str, str]:
    """The files that HAProxy is started with. Of certificates, only the sources are listed."""
    found = render(plane_config(registry))
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
            target = Target(id=given["id"], address=given["address"], port=given["port"], zone=given.get("zone"))
            registry = registry.register(owner, group, [target], ramps=given.get("ramps", False))
            if given["phase"] != "initial":
                registry = registry.with_admitted(owner, group, [target.id], True, datetime.now(UTC))
            if given["phase"] == "draining":
                registry = registry.deregister(owner, group, target.id)
    return registry


def _tried(made: Callable[[], Registry]) -> dict[str, str]:
    """The files of one registry; a fault of one must not hide the others."""
    try:
        return _files(made())
    except Exception:  # noqa: BLE001
        return {"fault": traceback.format_exc()}


if __name__ == "__main__":
    given: dict[str, Callable[[], Registry]] = {path: RegistryFile(Path(path)).read for path in sys.argv[1:]}
    given = given or {name: partial(_declared, case) for name, case in declarations().items()}
    sys.stdout.write(json.dumps({name: _tried(made) for name, made in given.items()}))
