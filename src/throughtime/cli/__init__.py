"""The command line: `throughtime` and the short `tt`, one file for each command."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The entry point of `throughtime` and `tt`."""
    import sys

    # Importing takes the first tenths of a second, and Ctrl-C then is no error either.
    try:
        from throughtime.cli.app import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
