"""HAProxy's configuration, maps and lists, rendered for a wide spread of declarations."""

from __future__ import annotations

import pytest

from tests.golden.golden_file import Golden
from tests.golden.rendering import declarations, run_rendering

_HEAD_ENDS = "  server worker\n"
_FINGERPRINT = "  description "

Rendered = dict[str, dict[str, str]]


@pytest.fixture(scope="session")
def rendered() -> Rendered:
    """The files of every declaration, rendered by one process."""
    return run_rendering()


@pytest.mark.parametrize("name", declarations())
def test_a_declaration_renders_to_the_same_bytes(name: str, rendered: Rendered, golden: Golden) -> None:
    """The configuration, its fingerprint, and every map, list and page are those of the golden file."""
    files = dict(rendered[name])
    assert "fault" not in files, files["fault"]
    head, ends, sections = files.pop("haproxy.cfg").partition(_HEAD_ENDS)
    fingerprint = next(line for line in head.splitlines() if line.startswith(_FINGERPRINT))
    shared = {"haproxy.cfg": head.replace(fingerprint, f"{_FINGERPRINT}FINGERPRINT") + ends}
    shared |= {name: files.pop(name) for name in sorted(files) if name.startswith("answer.")}
    golden("configurations/shared-by-all.txt", _joined(shared))
    golden(f"configurations/{name}.txt", f"{fingerprint.strip()}\n{_joined({'haproxy.cfg': sections, **files})}")


def _joined(files: dict[str, str]) -> str:
    return "".join(f"\n==> {name} <==\n{content}" for name, content in files.items())
