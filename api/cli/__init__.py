"""The command `gateledger`."""

from api.cli.app import main

__all__ = ["main"]
