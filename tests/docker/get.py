"""A GET that the service of a project answers."""

from __future__ import annotations

import urllib.error
import urllib.request

from tests.docker.project import Project


def get(project: Project, path: str = "/", timeout: float = 20) -> str:
    """Return the body of the response. Raises `OSError` if there is none, or if its status is an error."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{project.port}{path}", timeout=timeout) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        error.close()
        raise


def try_get(project: Project) -> str:
    """Return the body of the response, or an empty text if there is none within a second or its status is an error."""
    try:
        return get(project, timeout=1)
    except OSError:
        return ""
