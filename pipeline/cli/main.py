"""The entry point of the `pipeline` command. The help of all commands is printed without their library."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

# A command makes 120,000 objects that last, nearly all in its imports, and hardly any garbage. Higher would let the
# garbage of a command that runs for long take more memory.
_GC_THRESHOLD = 200_000


def main() -> NoReturn:
    """Run a command and exit with its code."""
    gc.set_threshold(_GC_THRESHOLD)
    try:
        _run()
    finally:
        # Otherwise the interpreter would look for garbage among all objects before it exits.
        gc.freeze()


def _run() -> NoReturn:
    program, *arguments = sys.argv
    # Imported here: the library takes longer than the rest of the help.
    if arguments in (["--help"], ["-h"]) and program.rpartition("/")[2] == "pipeline":
        from pipeline.cli.help import print_help

        print_help()
        sys.exit()
    from pipeline.cli.program import execute

    execute()


if __name__ == "__main__":
    main()
