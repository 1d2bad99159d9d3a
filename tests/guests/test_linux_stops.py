"""Breakpoints on Debian's kernel, and on a program that faults on purpose: they stop at every place that a log of the same run,
taken one step at a time, names; forwards and backwards.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.guests.debian_packages import linux_kernel, static_busybox
from vmdbg.bench.initramfs import busybox_initramfs
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.session import Session
from vmdbg.debugger.triggers import LONGEST
from vmdbg.machine.state import RDX
from vmdbg.machine.watch import MODE_LONG, mode_word
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

BEFORE, AFTER = 20_000, 90_000  # steps around what is looked for that are made one by one
PAGE_FAULT, COM1, NEAR_NULL = 14, 0x3F8, 0x1000
# mov eax, [10h]: an ELF file of one segment, at 400000h
FAULT = bytes.fromhex(
    "7f454c46020101000000000000000000 02003e00010000007800400000000000 40000000000000000000000000000000 00000000400038000100000000000000"
    "01000000050000000000000000000000 00004000000000000000400000000000 80000000000000008000000000000000 0010000000000000 8b042510000000 f4"
)
INIT = "#!/bin/sh\nprintf '{}' > /tmp/fault\nchmod 755 /tmp/fault\n/tmp/fault\necho gone\npoweroff -f\n"


@dataclass
class Log:
    """Positions, by the breakpoint that is to stop there."""

    first: int
    last: int
    places: dict[str, list[int]] = field(default_factory=lambda: {command: [] for command in COMMANDS})


COMMANDS = ("bp trap 14 if cr2 < 0x1000", "bp ring 3->0", "bp io 0x3f8 w", "bp mode long")


@pytest.fixture(scope="module")
def booted(tmp_path_factory) -> tuple[Session, list[tuple[int, int]]]:
    """A recorded boot through the 16-bit setup code, and the stretches of it that are worth a close look."""
    import isa

    assert str(isa.decode(FAULT[-8:], bits=64)).startswith("mov eax")
    initrd = tmp_path_factory.mktemp("linux") / "initrd"
    script = INIT.format("".join(f"\\{byte:03o}" for byte in FAULT))
    initrd.write_bytes(busybox_initramfs(static_busybox(), script, ("chmod", "printf")))
    options = Options(256 << 20, bits=16, append="console=ttyS0", initrd=str(initrd))
    s = open_bare(load_guest(Path(linux_kernel()), options), history=512 << 20)
    commands = Interpreter(s)
    places = []
    for command in ("bp mode long once", "bp trap 14 if cr2 < 0x1000 once"):
        commands.execute(command)
        assert s.run().has("mode" if "mode" in command else "trap")
        places.append(s.position)
    s.run()
    assert s.stop.has("idle") or s.stop.ended
    assert b"gone" in s.monitor.log
    return s, [(max(p - BEFORE, 0), p + AFTER) for p in places]


def single_steps(s: Session, first: int, last: int) -> Log:
    """What happens at each step, seen in the state before and after it."""
    import isa

    s.goto(first)
    log, decoded = Log(first, last), {}
    cpu = s.cpu
    mode, faults = int(mode_word(cpu)), int(cpu.deliveries[PAGE_FAULT])
    while s.position < last:
        position, rip = s.position, s.rip
        code = s.read(rip, LONGEST) or b""
        key = code, int(cpu.bits)
        if key not in decoded:
            found = isa.decode(code, bits=int(cpu.bits), ip=0) if code else None
            decoded[key] = found if found is not None and found.mnemonic in ("OUT", "OUTS") else None
        out, events = decoded[key], int(cpu.events)
        port = None if out is None else out.imm & 0xFF if any(o.kind == "imm" for o in out.form.operands) else int(cpu.gpr[RDX]) & 0xFFFF
        s.history.run(1, True)
        if s.position == position:
            continue  # it waited
        if port == COM1 and int(cpu.events) == events:
            log.places["bp io 0x3f8 w"].append(position)
        if int(cpu.deliveries[PAGE_FAULT]) != faults:
            faults = int(cpu.deliveries[PAGE_FAULT])
            if int(cpu.cr2) < NEAR_NULL:
                log.places["bp trap 14 if cr2 < 0x1000"].append(position)
        before, mode = mode, int(mode_word(cpu))
        if (before & 3, mode & 3) == (3, 0):
            log.places["bp ring 3->0"].append(s.position)
        if mode & ~before & MODE_LONG:
            log.places["bp mode long"].append(s.position)
    return log


@pytest.fixture(scope="module")
def logs(booted) -> list[Log]:
    s, stretches = booted
    s.breakpoints.table.clear()
    return [single_steps(s, first, last) for first, last in stretches]


@pytest.mark.debian
@pytest.mark.parametrize("command", COMMANDS)
def test_every_place_is_stopped_at_threaded(booted, logs, command):
    """At least once, and just as often as the log says: from the beginning of each stretch to its end, and back."""
    s, _ = booted
    assert any(log.places[command] for log in logs)
    for log in logs:
        s.breakpoints.table.clear()
        s.goto(log.first)
        Interpreter(s).execute(command)
        there, back = [], []
        while s.position < log.last:
            stop = s.step(log.last - s.position)
            if any(r.breakpoint for r in stop.reasons):
                there.append(s.position)
        s.goto(log.last)
        while (stop := s.reverse_run()).position >= log.first and not stop.has("beginning"):
            back.append(s.position)
        expected = [p for p in log.places[command] if log.first <= p < log.last]
        assert [p for p in there if p < log.last] == expected
        assert back[::-1] == expected
