"""The debugger: a session over a monitor, what it stops for, and the words it understands.  Knows nothing of any interface."""
