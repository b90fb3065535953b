"""Step 9: everything is removed, and nothing is left."""

from __future__ import annotations

import shutil
from contextlib import suppress

from lab.finding import Finding
from lab.laboratory import PIPELINES, STACK, CommandFailed, Laboratory
from lab.remains import Remains

TITLE = "everything removed, and the proof"


def play(lab: Laboratory) -> list[Finding]:
    """Remove all pipelines, the stack, the network and the folder. After a failed command, the others are run too."""
    remains = Remains(lab)
    before = remains.count()
    if lab.has_network and not lab.exists:
        # The network outlived its folder. What removes it is copied again.
        lab.create_folder()
    if lab.exists:
        _remove(lab)
        # A process may still be ending.
        with suppress(CommandFailed):
            lab.until(lambda: not any(remains.count().values()), "nothing is left")
    after = remains.count()
    return [Finding(f"{kind}, {before[kind]} before", "0", str(left), left == 0) for kind, left in after.items()]


def _remove(lab: Laboratory) -> None:
    """Remove what there is, the stack after the pipelines that use its listener."""
    downs = (
        "python apps.py stop",
        "python zones.py stop",
        *(f"pipeline down -f {name}.yaml" for name in reversed(PIPELINES)),
    )
    failed: list[CommandFailed] = []
    for command in downs if lab.home.exists() else ():
        _try(lab, command, failed)
    stacks = _try(lab, "pipeline stack list", failed) if lab.home.exists() else ""
    if any(line.startswith(f"{STACK} ") for line in stacks.splitlines()):
        _try(lab, f"pipeline stack delete {STACK}", failed)
    _try(lab, "sh network.sh down", failed)
    if failed:
        # Without the home, nothing could find the containers that are left.
        raise CommandFailed(f"{failed[0]}. Play this step again: the folder is kept")
    print(f"$ rm -r {lab.folder}")
    shutil.rmtree(lab.folder)


def _try(lab: Laboratory, command: str, failed: list[CommandFailed]) -> str:
    """Run a command and return its output. If it fails, add that to `failed`."""
    try:
        return lab.run(command, brief=True)
    except CommandFailed as error:
        failed.append(error)
        return ""
