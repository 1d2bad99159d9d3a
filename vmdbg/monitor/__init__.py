"""Monitors: who owns the exits of a machine.  `bare` is a PC without one: the guest has the machine to itself."""
