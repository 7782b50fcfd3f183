"""The command line: one small file a command. Heavy rooms are imported inside commands, so that help is quick."""

from reelwork.cli.app import main

__all__ = ["main"]
