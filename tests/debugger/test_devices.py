"""Devices as a user reads them: what was written to a port is found by name and bit, and looking changes nothing."""

import copy

import pytest

from tests.debugger.stub_session import stub_session
from vmdbg.debugger.devices import devices
from vmdbg.debugger.devices.interrupts import pending, sources
from vmdbg.debugger.devices.registers import numbers, register, vectors


@pytest.fixture
def board():
    return stub_session().monitor.board


def write(board, *pairs):
    for port, value in pairs:
        board.machine.ports.write(port, 1, value)


def found(board, device: str, name: str):
    return next(r for d in devices(board) if d.name == device for r in d.registers if r.name == name)


def bits(r) -> set[str]:
    return {f.text for f in r.fields if f.value or f.word}


PIC = [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x28), (0xA1, 2), (0xA1, 1), (0x21, 0xFC), (0xA1, 0xFF)]


def test_the_notation():
    r = register("LCR", 0x83, 1, "length:1:0{5 6 7 8} stop:2{1 2} parity:5:3 DLAB:7 break:6")
    assert [f.text for f in r.fields] == ["length=8", "stop=1", "parity=0", "DLAB", "break"]
    assert (numbers(0x11), vectors(1 << 0x20 | 1 << 0xEF), numbers(0)) == ("0, 4", "20 ef", "none")


def test_serial_port(board):
    write(board, (0x3FB, 0x80), (0x3F8, 1), (0x3F9, 0), (0x3FB, 3), (0x3F9, 5), (0x3FC, 0x0B))
    assert found(board, "COM1", "divisor").note == "115200 baud"
    assert bits(found(board, "COM1", "IER")) == {"received", "line"}
    assert bits(found(board, "COM1", "MCR")) == {"DTR", "RTS", "OUT2"}
    assert "length=8" in bits(found(board, "COM1", "LCR"))
    board.uart.receive(b"xy")
    assert "DR" in bits(found(board, "COM1", "LSR"))
    assert found(board, "COM1", "FIFO").value == 2


def test_interrupt_controllers(board):
    write(board, *PIC)
    board.pic.set_line(1, True)
    assert found(board, "PIC master", "base").note == "IRQ 0-7 are vectors 20-27"
    assert found(board, "PIC master", "IRR").note == "requested: IRQ 1"
    assert sources(board)[0x21] == "IRQ1"
    assert ("PIC 20-27  irr 02  isr 00  imr fc", True) in pending(board)
    board.lapics[0].state["lvt"][0] = 0x200EC
    assert sources(board)[0xEC] == "timer"
    assert bits(found(board, "Local APIC 0", "LVT timer")) == {"vector=ec", "mode=periodic"}
    board.ioapic.state["entries"][4] = 0x34 | 1 << 15
    assert bits(found(board, "I/O APIC", "entry 04")) == {"vector=34", "mode=fixed", "level"}
    assert sources(board)[0x34] == "IRQ4"


def test_timers_and_keyboard(board):
    write(board, (0x43, 0x34), (0x40, 0x9C), (0x40, 0x2E))
    assert "mode 2" in found(board, "PIT", "counter 0").note and "100.0 Hz" in found(board, "PIT", "counter 0").note
    board.keyboard.key("a")
    assert "full" in bits(found(board, "Keyboard", "status"))
    assert found(board, "Keyboard", "output").value == 0x1E


def test_looking_changes_nothing(board):
    """Every device's state is the same bytes before and after."""
    write(board, *PIC, (0x43, 0x36), (0x40, 0x10), (0x40, 0), (0x3F9, 3))
    board.machine.clock = 123_456_789
    parts = [board.pic, board.pit, board.rtc, board.keyboard, board.uart, board.vga, board.acpi, board.ioapic, *board.lapics]
    before = [copy.deepcopy(p.state).tobytes() for p in parts]
    for _ in range(3):
        assert len(devices(board)) > 12
        pending(board), sources(board)
    assert [p.state.tobytes() for p in parts] == before
