"""Resets of a machine with firmware: what begins anew, what stays; without firmware the run ends."""

import pytest

from vmdbg.machine.board.pc import Pc
from vmdbg.machine.machine import Leave, Machine

# at FFFF0000 + offset; real mode, DS 0: inc word [500h]; cmp word [500h], 3; jae done; <reset>; hlt; done: mov ax, [500h]; out F4h, al
COUNT, DONE = "ff 06 00 05 83 3e 00 05 03 73", "a1 00 05 e6 f4 f4"
RESETS = {
    "CF9, full": "ba f9 0c b0 06 ee",
    "CF9, CPUs": "ba f9 0c b0 04 ee",
    "port 92": "b0 02 e6 92 b0 03 e6 92",
    "keyboard controller": "b0 fe e6 64",
}


def firmware(code: str) -> bytes:
    body = bytes.fromhex(code)
    between = bytes.fromhex("b0 55 e6 21") + body + b"\xf4"  # mov al, 55h; out 21h, al first
    return (bytes.fromhex(COUNT) + bytes((len(between),)) + between + bytes.fromhex(DONE)).ljust(0xFFF0, b"\xf4") + b"\xe9\x0d\x00".ljust(
        16, b"\xf4"
    )


def machine(code: str) -> tuple[Machine, Pc]:
    """Two vCPUs, 64 KiB of firmware, whose copy below 1 MiB the machine makes itself at each reset."""
    m = Machine(2 << 20, cpus=2, engine="plain")
    pc = Pc(m, lambda byte: None, firmware={})
    m.add_rom(firmware(code))
    return m, pc


@pytest.mark.parametrize("name", RESETS)
def test_the_firmware_runs_again_and_ram_stays(name):
    m, pc = machine(RESETS[name])
    pc.rtc.state["ram"][0x40] = 0x5A
    m.ram[0x9000] = 0x77
    stop = m.run(100)
    assert (stop.reason, stop.exit_code) == ("exit", 3 << 1 | 1)
    assert (int(pc.rtc.state["ram"][0x40]), int(m.ram[0x9000])) == (0x5A, 0x77)
    assert int(m.cpus[1].activity) == 3  # waits for SIPI


def test_a_full_reset_is_one_of_devices_too():
    m, pc = machine(RESETS["CF9, full"])
    before = pc.pic.state.copy()
    pc.lapics[0].write(0x320, 4, 0x20041)
    pc.lapics[0].write(0x380, 4, 1000)
    while m.ports.read(0x21, 1) != 0x55:
        m.run(1)
    m.ram[0xFFFF0] = 0
    m.run(3)  # mov dx; mov al; out, which is no step of its own; jmp at the reset vector
    assert (pc.pic.state == before).all() and pc.lapics[0].deadline() is None
    assert m.ram[0xFFFF0] == 0xE9  # read from the ROM again
    assert (int(m.cpus[0].rip), int(m.cpus[0].seg_base[1]), int(m.cpus[0].gpr[0])) == (0, 0xFFFF0000, 0)


def test_a_reset_of_the_cpus_leaves_devices_alone():
    m, pc = machine(RESETS["keyboard controller"])
    m.run(10)  # OUT and two INITs are the last of them
    assert (int(m.cpus[0].rip), int(m.cpus[0].gpr[0])) == (0xFFF0, 0) and m.ports.read(0x21, 1) == 0x55


def test_without_firmware_the_run_ends():
    pc = Pc(Machine(1 << 20, engine="plain"), lambda byte: None)
    with pytest.raises(Leave):
        pc.machine.ports.write(0xCF9, 1, 6)
