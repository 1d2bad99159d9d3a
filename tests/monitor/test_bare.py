"""What a guest finds that a boot loader would have started."""

from pathlib import Path

from tests.monitor.images import multiboot
from vmdbg.machine.machine import Machine
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest


def test_a_multiboot_guest_finds_what_the_bios_has_set_up(tmp_path: Path):
    """Multiboot 0.6.96, 3.2: in al, 21h; out F4h, al: the timer's line is open; its interrupts lead to vector 8."""
    image = tmp_path / "kernel"
    image.write_bytes(multiboot(bytes.fromhex("e4 21 e6 f4 f4")))
    guest = load_guest(image, Options(8 << 20))
    bare = Bare(Machine(guest.memory), guest)
    stop = bare.machine.run(100)
    assert (stop.reason, bare.machine.position) == ("exit", 1)
    assert stop.exit_code is not None and not stop.exit_code >> 1 & 1
    assert [int(chip["base"]) for chip in bare.board.pic.state["chips"]] == [0x08, 0x70]
