"""Ports that the core answers itself, as their devices would, until Python has to be asked.

A data port whose device has its bytes ready: the core moves them, all but the last access of a buffer.

    PortBuffers: selected stride port | PortBuffer 0: direction at end | its bytes | PortBuffer 1: ...

A counter of virtual time (the ACPI timer): a function of the clock.

The records are the device's own state (board/ide.py), where it finds what the core did; only their addresses, in
Shared.port_buffers, are derived.  An access that would reach `end` goes to the device, which then does what comes next.

A port that is polled: the device said until when it would give the same value again (Shared.steady_until, a clock), and that writing
the same value again, the index of a register, changes nothing (Shared.same_port); what may change that makes the machine forget it.
"""

from isa.lang.struct import Struct
from isa.lang.word import U32, U64, outlined
from vmdbg.machine.clock import read_clock
from vmdbg.machine.state import PORT_BUFFERS, Shared

READING, WRITING = 1, 2  # direction, as the guest sees it; anything else: not now


class PortBuffer(Struct):
    """What a data port gives or takes; its bytes follow."""

    direction: U32
    at: U32  # bytes moved so far
    end: U32
    spare: U32


class PortBuffers(Struct):
    """A data port and the buffers behind it, `stride` bytes from one to the next; the first one follows."""

    selected: U32
    stride: U32
    port: U64


HEADER = PortBuffers.size
BYTES = PortBuffer.size
STEADY_VALUE, COUNTER_VALUE = Shared.fields["steady_value"][0], Shared.fields["counter_value"][0]
SECOND = 1_000_000_000  # nanoseconds


def same_again(cpu, port, size, value):
    """Whether an output would write what the last one wrote to a port where that changes nothing."""
    shared = Shared(cpu.shared)
    return shared.same_port == (port | (size << 16)) and shared.same_value == value


def ticks(cpu, frequency):
    """Ticks of a frequency, in Hz, below 4 GHz, that have begun since clock 0."""
    clock = read_clock(cpu)
    return clock // SECOND * frequency + clock % SECOND * frequency // SECOND


@outlined
def next_bytes(cpu, port, size, direction):
    """Host address of the `size` bytes that an access to `port` moves, which are counted as moved; 0: the device must be asked."""
    shared = Shared(cpu.shared)
    if shared.steady_port == (port | (size << 16)) and direction == READING and read_clock(cpu) < shared.steady_until:
        return shared.address + STEADY_VALUE
    if shared.counter_port == (port | (size << 16)) and direction == READING:
        shared.counter_value = ticks(cpu, shared.counter_frequency)
        return shared.address + COUNTER_VALUE
    n = U64(0)
    while n < PORT_BUFFERS:
        at = shared.port_buffers[n]
        if at != 0 and PortBuffers(at).port == port:
            device = PortBuffers(at)
            buffer = PortBuffer(at + HEADER + U64(device.selected) * U64(device.stride))
            done = U64(buffer.at)
            if U64(buffer.direction) == direction and done + size < U64(buffer.end):
                buffer.at = U32(done + size)
                return buffer.address + BYTES + done
        n = n + 1
    return U64(0)
