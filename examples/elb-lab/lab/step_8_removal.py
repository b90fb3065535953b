"""Step 8: everything is removed, and nothing is left."""

from __future__ import annotations

import shutil
from contextlib import suppress

from lab.finding import Finding
from lab.laboratory import PIPELINES, CommandFailed, Laboratory
from lab.remains import Remains

TITLE = "everything removed, and the proof"


def play(lab: Laboratory) -> list[Finding]:
    """Remove all pipelines, the network and the folder. A failed command does not keep the others from being run."""
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
    downs = ("python zones.py stop", *(f"pipeline down -f {name}.yaml" for name in reversed(PIPELINES)))
    failed: list[CommandFailed] = []
    for command in (*downs, "sh network.sh down") if lab.home.exists() else ("sh network.sh down",):
        try:
            lab.run(command, brief=True)
        except CommandFailed as error:
            failed.append(error)
    if failed:
        # Without the home, nothing could find the containers that are left.
        raise CommandFailed(f"{failed[0]}. Play this step again: the folder is kept")
    print(f"$ rm -r {lab.folder}")
    shutil.rmtree(lab.folder)
