"""The test device and the power-off port, register by register and wired."""

import pytest

from vmdbg.machine.board.pc import Pc
from vmdbg.machine.board.shutdown_port import ShutdownPort
from vmdbg.machine.board.test_device import MEMORY
from vmdbg.machine.machine import Machine


def board() -> tuple[Machine, Pc]:
    machine = Machine(1 << 20, engine="plain")
    return machine, Pc(machine, lambda byte: None)


def test_four_bytes_are_kept():
    m, _ = board()
    m.ports.write(0xE0, 4, 0x44332211)
    m.ports.write(0xE1, 1, 0xAA)
    m.ports.write(0xE4, 4, 0xFFFFFFFF)  # flush: nothing to do
    assert [m.ports.read(0xE0 + n, 1) for n in range(4)] == [0x11, 0xAA, 0x33, 0x44]
    assert (m.ports.read(0xE0, 2), m.ports.read(0xE8, 4), m.ports.read(0xE4, 4)) == (0xAA11, 0x4433AA11, 0)


def test_memory_that_only_a_device_answers_for():
    m, _ = board()
    m.device_memory.write(MEMORY + 0xFFF8, 8, 0x1122334455667788)
    assert m.device_memory.read(MEMORY + 0xFFFA, 2) == 0x5566
    m.device_memory.write(MEMORY + 0xFFFE, 4, 0xCCDDEEFF)  # beyond its end there is nothing
    assert m.device_memory.read(MEMORY + 0xFFFE, 4) == 0xEEFF


@pytest.mark.parametrize("irq", [0, 4, 11])
def test_a_line_reaches_both_kinds_of_controllers(irq):
    m, pc = board()
    pin = 2 if irq == 0 else irq
    m.ports.write(0x2000 + irq, 1, 1)
    assert int(pc.ioapic.state["lines"]) >> pin & 1
    assert int(pc.pic.state["chips"][irq >> 3]["lines"]) >> (irq & 7) & 1
    m.ports.write(0x2000 + irq, 1, 0)
    assert not int(pc.ioapic.state["lines"]) >> pin & 1


@pytest.mark.parametrize("text,times", [("Shutdown", 1), ("ShutShutdown", 1), ("SShutdown", 1), ("Shutdow n", 0), ("ShutdownShutdown", 2)])
def test_the_word_that_powers_off(text, times):
    done = []
    port = ShutdownPort(lambda: done.append(1))
    for letter in text.encode():
        port.write(0, 1, letter)
    assert (len(done), port.read(0, 1)) == (times, 0xFF)
