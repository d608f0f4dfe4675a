"""Prices and capabilities that ship with gateledger; `README.md` says how they are made."""
