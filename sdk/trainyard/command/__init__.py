"""The command `trainyard`. Each verb imports its modules when it runs, so that help stays fast."""

from trainyard.command.program import main

__all__ = ["main"]
