"""Runs without an interface: to the end, by a script, against expectations."""
