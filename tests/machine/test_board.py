"""The board's first devices, register by register."""

import numpy as np

from vmdbg.machine.board.debug_port import DebugPort
from vmdbg.machine.board.exit_port import ExitPort
from vmdbg.machine.board.post_port import PostPort
from vmdbg.machine.board.uart import IER, IIR, LCR, LSR, MCR, MSR, RBR, SCR, Uart
from vmdbg.machine.board.vga_text import CELLS, GLYPHS, VgaText


def uart():
    sent, levels = [], []
    return Uart(sent.append, levels.append), sent, levels


def test_uart_sends_and_is_always_ready():
    u, sent, _ = uart()
    for c in b"hi":
        assert u.read(LSR, 1) & 0x60 == 0x60
        u.write(RBR, 1, c)
    assert bytes(sent) == b"hi"


def test_uart_divisor_hides_behind_dlab():
    u, sent, _ = uart()
    u.write(LCR, 1, 0x83)
    u.write(RBR, 1, 0x01)
    u.write(IER, 1, 0x02)
    assert (u.read(RBR, 1), u.read(IER, 1)) == (1, 2)
    u.write(LCR, 1, 0x03)
    assert (u.read(RBR, 1), u.read(IER, 1), sent) == (0, 0, [])
    assert int(u.state["divisor"]) == 0x201


def test_uart_receives_through_its_fifo():
    u, _, _ = uart()
    assert u.read(LSR, 1) & 1 == 0
    u.receive(b"ab")
    assert u.read(LSR, 1) & 1 == 1
    assert [u.read(RBR, 1) for _ in range(3)] == [0x61, 0x62, 0]


def test_uart_overrun_is_reported_once():
    u, _, _ = uart()
    assert u.room() == 16
    u.receive(bytes(17))
    assert u.read(LSR, 1) & 2
    assert not u.read(LSR, 1) & 2
    assert u.room() == 0


def test_uart_interrupts_by_priority():
    u, _, levels = uart()
    u.write(IER, 1, 0x03)  # OUT2 is not set
    assert levels[-1] is True
    u.receive(b"x")
    assert u.read(IIR, 1) == 0x04
    u.read(RBR, 1)
    assert u.read(IIR, 1) == 0x02  # reading it acknowledges
    assert u.read(IIR, 1) == 0x01
    assert levels[-1] is False


def test_uart_loopback_is_what_drivers_probe_with():
    u, sent, _ = uart()
    u.write(MCR, 1, 0x1A)
    assert u.read(MSR, 1) & 0xF0 == 0x90
    u.write(RBR, 1, 0x5A)
    assert (u.read(RBR, 1), sent) == (0x5A, [])


def test_uart_scratch_and_fifo_bits():
    u, _, _ = uart()
    u.write(SCR, 1, 0xA5)
    assert u.read(SCR, 1) == 0xA5
    u.write(IIR, 1, 0x01)
    assert u.read(IIR, 1) & 0xC0 == 0xC0


def test_uart_state_is_plain_bytes():
    """A copy of the record is a copy of the device."""
    u, _, _ = uart()
    u.receive(b"abc")
    other, _, _ = uart()
    other.state[...] = u.state
    assert other.state.tobytes() == u.state.tobytes()
    assert other.read(RBR, 1) == 0x61


def test_debug_and_post_ports():
    said = []
    port = DebugPort(said.append)
    port.write(0, 1, 0x141)
    assert (port.read(0, 1), said) == (0xE9, [0x41])
    post = PostPort()
    post.write(0, 1, 0x20)
    assert post.read(0, 1) == 0x20


def test_exit_port_gives_an_odd_status():
    left = []
    port = ExitPort(left.append)
    for value in (0, 1, 0x10, 0xFF):
        port.write(0, 1, value)
    assert left == [1, 3, 0x21, 0xFF]


def test_screen_shows_cells_glyphs_and_cursor():
    ram = np.zeros(1 << 20, np.uint8)
    ram[CELLS : CELLS + 6] = [ord("A"), 7, 1, 7, 0xDB, 0x1F]
    vga = VgaText()
    vga.write(0x14, 1, 0x0F)
    vga.write(0x15, 1, 81)
    s = vga.screen(ram)
    assert len(GLYPHS) == 256
    assert (len(s.text), {len(line) for line in s.text}) == (25, {80})
    assert s.text[0][:3] == "A☺█"
    assert s.attributes[0][:3] == bytes([7, 7, 0x1F])
    assert s.cursor == (1, 1)


def test_screen_scrolls_with_the_start_address():
    ram = np.zeros(1 << 20, np.uint8)
    ram[CELLS + 160] = ord("Z")
    vga = VgaText()
    vga.write(0x14, 2, 80 << 8 | 0x0D)  # index and data in one word
    assert vga.screen(ram).text[0][0] == "Z"
