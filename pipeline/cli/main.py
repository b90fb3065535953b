"""The entry point of the `pipeline` command. The help of all commands is printed without their library."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run a command and exit with its code."""
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
