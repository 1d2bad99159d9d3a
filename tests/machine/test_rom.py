"""A ROM below 4 GiB: the reset vector runs from it, reads see it, writes go nowhere."""

import numpy as np
import pytest

from vmdbg.machine.machine import Machine

PAGE = 4096


def machine(code: str, at: int = 0xFFF0, size: int = 2 * PAGE, engine: str = "plain") -> Machine:
    """A machine with 1 MiB of RAM and a ROM of `size` bytes with `code` at F000:at."""
    image = np.full(size, 0xF4, np.uint8)  # HLT
    code = bytes.fromhex(code)
    start = at - (0x10000 - size)
    image[start : start + len(code)] = np.frombuffer(code, np.uint8)
    image[0] = 0x5A
    m = Machine(1 << 20, engine=engine)
    m.add_rom(image.tobytes())
    return m


def test_the_reset_vector_runs_from_the_rom():
    m = machine("b8 34 12  f4")  # mov ax, 1234h
    assert m.run(10).reason == "halt"
    assert int(m.cpus[0].gpr[0]) == 0x1234 and int(m.cpus[0].rip) == 0xFFF4


def test_writes_to_the_rom_go_nowhere():
    m = machine("2e a0 00 e0  2e 0f b6 1e 00 e0  f4")  # mov al, cs:[E000h]; movzx bx, byte cs:[E000h]
    m.run(10)
    assert int(m.cpus[0].gpr[0]) == 0x5A and int(m.cpus[0].gpr[3]) == 0x5A
    m = machine("8c c8 8e d8  c6 06 00 e0 77  a0 00 e0  f4", at=0xF000)
    cpu = m.cpus[0]
    cpu.rip = 0xF000
    m.run(2)
    cpu.seg_base[3] = 0xFFFF0000  # DS over the ROM
    assert m.run(10).reason == "halt"
    assert int(cpu.gpr[0]) & 0xFF == 0x5A
    assert m.read_physical(0xFFFFE000, 1) == b"\x5a"


def test_code_in_the_rom_crosses_pages():
    m = machine("b8 78 56", at=0xEFFF)
    m.cpus[0].rip = 0xEFFF
    assert m.run(10).reason == "halt" and int(m.cpus[0].gpr[0]) == 0x5678


def test_between_ram_and_rom_nothing_answers():
    m = machine("67 a1 00 00 10 00  f4")  # mov ax, [100000h]: one byte past RAM, limit says #GP
    cpu = m.cpus[0]
    cpu.seg_limit[3] = 0xFFFFFFFF
    assert m.run(10).reason == "halt"
    assert int(cpu.gpr[0]) & 0xFFFF == 0xFFFF
    assert m.read_physical(0x100000, 1) is None and m.read_physical(0xFFFFDFFF, 2) is None
    assert m.read_physical(0xFFFFFFFF, 1) == b"\xf4" and m.read_physical(0xFFFFFFFF, 2) is None


def test_a_rom_has_a_size():
    m = Machine(1 << 20, engine="plain")
    for size in (0, 100, (16 << 20) + PAGE):
        with pytest.raises(ValueError, match="ROM"):
            m.add_rom(bytes(size))
