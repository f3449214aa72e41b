"""The command line: `throughtime` and the short `tt`, one file for each command."""

from throughtime.cli.app import main

__all__ = ["main"]
