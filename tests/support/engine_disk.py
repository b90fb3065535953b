"""What a Docker Engine keeps of an image on its disk, made once on this machine.

An engine that begins with a copy of it has the image. `docker load` would take seven seconds of a processor.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from pipeline.testing.machines.site import site
from tests.support.paths import ROOT
from tests.support.waiting import COMMAND_TIMEOUT

_MADE = ROOT / ".setup" / "engine-disks"


def put_image(image: str, data: Path) -> None:
    """Put an image of the engine that `DOCKER_HOST` names into the folder of an engine that has not started yet."""
    disk = _disk(image)
    data.mkdir(mode=0o710, parents=True)
    # An engine only ever reads the files of a layer, so all engines may share them. It changes its lists of images.
    shares = disk.stat().st_dev == data.stat().st_dev
    for folder in disk.iterdir():
        _copy(folder, data, "--link" if shares and folder.name != "image" else "--archive")


def _disk(image: str) -> Path:
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
    inspected = subprocess.run(command, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT)
    disk = _MADE / f"{image}@{inspected.stdout.strip()}".replace("/", "_")
    _MADE.mkdir(parents=True, exist_ok=True)
    with (_MADE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not disk.exists():
            _make(image, disk)
    return disk


def _make(image: str, disk: Path) -> None:
    """Let an engine load an image, and keep what it has written of it: the images, and the layers of its driver."""
    unfinished = disk.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    with site("loader") as made:
        made.load(image)
        (server,) = made.servers.values()
        server.engine.end()
        data = server.engine.data
        (driver,) = (folder.name for folder in (data / "image").iterdir())
        for name in ("image", driver):
            _copy(data / name, unfinished, "--archive")
    unfinished.rename(disk)


def _copy(folder: Path, into: Path, how: str) -> None:
    subprocess.run(["cp", "--archive", how, str(folder), str(into)], check=True, timeout=COMMAND_TIMEOUT)
