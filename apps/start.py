"""Where the command `te-apps` begins: Ctrl-C ends it in one line even while its modules are imported."""

from __future__ import annotations

import sys


def main() -> int:
    """`apps.cli.main` with the process's arguments; its exit code."""
    try:
        from apps.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("te-apps: interrupted\n")
        return 130
    return command()


if __name__ == "__main__":
    sys.exit(main())
