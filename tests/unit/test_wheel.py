"""The wheel as its users install it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# Each needs an index of packages and takes a minute.
INSTALLS = os.environ.get("PENSTOCK_TEST_INSTALLS")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel without a network, from a copy of the files that it is made from."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pipeline", "stages", "sample_app", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source],
        check=True,
    )
    return next(folder.glob("*.whl"))


def test_its_content(wheel: Path) -> None:
    """It has the manual page where `man` and pipx look, what the program reads, and no test."""
    assert wheel.name.startswith("penstock_cd-")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert any(name.endswith(".data/data/share/man/man1/pipeline.1") for name in names)
    assert {"pipeline/py.typed", "pipeline/store/migrations/0001.sql", "pipeline/sample_app/Dockerfile"} <= {*names}
    assert {"pipeline/web/templates/base.html", "pipeline/web/static/LICENSES.txt"} <= {*names}
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]


def test_installed_by_pip(wheel: Path, tmp_path: Path) -> None:
    """The command runs from an environment that has only the wheel and its requirements."""
    # The requirements are those of this environment, so no index is needed.
    venv.create(tmp_path / "environment", symlinks=True)
    python = tmp_path / "environment" / "bin" / "python"
    target = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    install = ["install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    requirements = next(path for path in sys.path if Path(path, "click").is_dir())
    Path(target, "requirements.pth").write_text(f"{requirements}\n")
    _check(tmp_path / "environment" / "bin" / "pipeline", tmp_path)
    assert (tmp_path / "environment" / "share" / "man" / "man1" / "pipeline.1").exists()


@pytest.mark.timeout(600)
@pytest.mark.skipif(not INSTALLS, reason="PENSTOCK_TEST_INSTALLS is not set")
@pytest.mark.parametrize("tool", ["pip", "pipx", "uv"])
def test_installed_with_its_requirements(tool: str, wheel: Path, tmp_path: Path) -> None:
    """Each tool installs the wheel with its requirements from an index, and the command runs."""
    if tool != "pip" and shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    environment = {
        **os.environ,
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
    }
    if tool == "pip":
        venv.create(tmp_path, symlinks=True, with_pip=True)
        command = [tmp_path / "bin" / "pip", "install", "-q", wheel]
    else:
        command = [tool, *(["tool"] if tool == "uv" else []), "install", wheel]
    subprocess.run(command, env=environment, check=True)
    _check(tmp_path / "bin" / "pipeline", tmp_path)
    if tool == "pipx":
        assert (tmp_path / "man" / "man1" / "pipeline.1").exists()


def _check(program: Path, folder: Path) -> None:
    """Assert that the command starts, and that it finds the stages by their entry points."""
    environment = {"PATH": os.environ["PATH"], "PENSTOCK_HOME": str(folder / "home")}
    run = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    assert subprocess.run([program, "--version"], **run).stdout.startswith("penstock, version ")  # type: ignore[call-overload]
    subprocess.run([program, "init"], **run, check=True)  # type: ignore[call-overload]
    done = subprocess.run([program, "validate"], **run)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
