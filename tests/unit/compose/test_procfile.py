"""Procfiles as a pipeline.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.compose.procfile import translate_procfile
from tests.support.compose_imports import loaded

PROCFILE = """\
# A comment
release: python manage.py migrate && python manage.py seed
web: gunicorn shop.wsgi --bind 0.0.0.0:$PORT

worker : celery -A shop worker
send_mail: VERBOSE=1 python mail.py ${NAME}
"""


def test_the_processes_are_services(tmp_path: Path) -> None:
    """`web` gets requests at $PORT, `release` runs before a release, and the others are workers."""
    found = translate_procfile(PROCFILE, "Procfile", "My Shop")
    (file,) = found.files
    assert file.content == {
        "name": "my-shop",
        "deploy": {
            "environment": {"PORT": "8080"},
            "release_command": {"command": ["sh", "-c", "python manage.py migrate && python manage.py seed"]},
            "services": {
                "web": {
                    "target_group": "web",
                    "command": ["sh", "-c", "exec gunicorn shop.wsgi --bind 0.0.0.0:$PORT"],
                },
                "worker": {"command": ["sh", "-c", "exec celery -A shop worker"]},
                "send-mail": {"command": ["sh", "-c", "VERBOSE=1 python mail.py $${NAME}"]},
            },
        },
        "balancer": {
            "target_groups": {"web": {"port": 8080, "health_check": {"protocol": "TCP"}}},
            "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
        },
    }
    assert loaded(file.content, tmp_path).pipeline.name == "my-shop"
    assert found.notes == (
        "the process send_mail is named send-mail",
        "web listens on $PORT, which is 8080, and gets the requests to port 8000 of this machine",
        "the image is built from the Dockerfile of this repository: a pipeline has no buildpacks",
    )


def test_workers_need_no_balancer(tmp_path: Path) -> None:
    """Without `web`, no service gets requests."""
    found = translate_procfile("worker: run", "Procfile", "shop")
    assert "balancer" not in found.files[0].content
    assert loaded(found.files[0].content, tmp_path).pipeline.deploy.services.keys() == {"worker"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Procfile has no process"),
        ("# only", "Procfile has no process"),
        ("web", "Procfile:1:1: must have the form NAME: COMMAND (such as web: gunicorn app:app)"),
        ("web:", "Procfile:1:1: must have the form NAME: COMMAND (such as web: gunicorn app:app)"),
        (
            "a: b\n: x\nwe b: c",
            "Procfile:2:1: must have the form NAME: COMMAND (such as web: gunicorn app:app)\n"
            "Procfile:3:1: must have the form NAME: COMMAND (such as web: gunicorn app:app)",
        ),
        ("web: a\nweb: b", "Procfile:2:1: web: is declared twice; the first is on line 1"),
        ("a_b: x\na-b: y", "Procfile: the processes a-b and another one are both named a-b"),
        ("web: a\0b", "Procfile:1:1: web: must not contain a null character"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    """A line that is no process is an error."""
    with pytest.raises(ConfigError) as caught:
        translate_procfile(text, "Procfile", "shop")
    assert caught.value.message == message
