"""The board: what surrounds the CPUs.  One device, one file, two entry points.

A device has `read(offset, width) -> int` and `write(offset, width, value)`: offset in bytes from its first port or
address, width 1, 2 or 4 bytes.  Its architectural state is one plain numpy record, `state`: saving, comparing and cloning
are copies of bytes.  An interrupt line is a function of a level, `line(bool)`, that does not know its controller.
What a device tells the host (a character, an exit code) leaves through a function given to it.
"""
