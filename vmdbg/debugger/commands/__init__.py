"""The commands: gdb's words over a session, in one registry."""
