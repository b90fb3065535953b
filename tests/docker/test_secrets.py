"""A secret that a program prints is in no file, container, image, process or response, in any encoding."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.base.masking import forms_of
from pipeline.store.records import RunState
from tests.docker.project import Project, docker, until
from tests.docker.serving import Serving, serving
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker

SECRET = "Zebra+crossing/7&9 <ünlocked>"
# Plain, encoded, split over several writes, in a very long line, and in a line of JSON.
_PRINTS = """
import base64, binascii, json, os, sys, urllib.parse
secret = os.environ["TOKEN"]
raw = secret.encode()
print(secret)
print("url", urllib.parse.quote(secret), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret))
for offset in range(3):
    print("base64", base64.b64encode(b"x" * offset + raw + b"tail").decode())
    print("urlsafe", base64.urlsafe_b64encode(b"x" * offset + raw + b"tail").decode())
print("hex", binascii.hexlify(raw).decode())
print("json", json.dumps({"token": secret}))
for character in secret:
    sys.stdout.write(character)
    sys.stdout.flush()
print()
sys.stdout.write("x" * 65530 + secret + "y" * 70000 + "\\n")
sys.exit(1)
"""


def texts(served: Serving) -> dict[str, bytes]:
    """Return all texts of the project: files, containers, images, processes, responses of the API and output."""
    project = served.project
    found = {str(p): p.read_bytes() for p in project.home.root.rglob("*") if p.is_file()}
    ids = docker("ps", "-aq", "--filter", f"label=penstock.home={project.home.id}").split()
    images = docker("image", "ls", "-q", "--filter", f"label=penstock.home={project.home.id}").split()
    for name in {*ids, *images}:
        found[f"docker inspect {name}"] = docker("inspect", name).encode()
    for name in ids:
        logs = subprocess.run(["docker", "logs", name], capture_output=True, check=False, timeout=COMMAND_TIMEOUT)
        found[f"docker logs {name}"] = logs.stdout + logs.stderr
    found["ps"] = subprocess.run(["ps", "axww"], capture_output=True, check=True, timeout=COMMAND_TIMEOUT).stdout
    found["serve"] = served.output().encode()
    for path in ("", "/runs", "/runs/1", "/runs/1/events", "/runs/1/log", "/runs/2", "/runs/2/log"):
        found[f"API {path}"] = ask(project.home.daemon_socket, f"/v1/pipelines/{project.name}{path}")
    for command in ("history", "events", "status", "logs"):
        found[command] = str(project.pipeline(command, "--json")).encode()
    return found


def ask(path: Path, url: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as opened, closing(http.client.HTTPConnection("penstock")) as connection:
        opened.connect(str(path))
        connection.sock = opened
        connection.request("GET", url)
        return connection.getresponse().read()


def test_a_secret_that_tests_print_is_nowhere(project: Project, tmp_path: Path) -> None:
    """A printed secret is nowhere, neither plain nor encoded nor cut into pieces."""
    secrets = tmp_path / "secrets"
    secrets.write_text(f"TOKEN={SECRET}\n")
    os.chmod(secrets, 0o600)  # noqa: PTH101
    project.write("leak.py", _PRINTS)
    project.configure(
        ("name: shop\n", f"name: shop\nsecrets: {{file: {json.dumps(str(secrets))}}}\n"),
        (
            "command: [python3, -m, unittest], timeout: 30s",
            "command: [python3, leak.py], environment: {TOKEN: '${secret:TOKEN}'}",
        ),
    )
    project.write("Dockerfile", (project.directory / "Dockerfile").read_text() + "\nCOPY leak.py .\n")
    project.commit("1")
    with serving(project) as served:
        failed = served.await_run(1, RunState.FAILED)
        assert "exit code 1" in failed.reason
        log = project.home.run_log(project.name, 1)
        assert until(lambda: log.read_text().count("***"), "masked lines") > 10
        project.pipeline("run", code=1)
        everything = texts(served)
    forms = {form for form in forms_of(SECRET) if len(form) >= 8}
    assert len(forms) > 10
    leaks = {(name, form) for name, text in everything.items() for form in forms if form.encode() in text}
    assert leaks == set()
    assert len(everything) > 15
