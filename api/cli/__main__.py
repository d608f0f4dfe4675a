"""`python -m api.cli` is `gateledger`."""

from api.cli.app import main

main()
