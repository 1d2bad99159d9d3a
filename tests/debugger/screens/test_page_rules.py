"""The rules that the paging screen names, against the machine's own paging: random bits in the entries of real guests."""

import random

import pytest

import guests
from isa.lang.word import U64
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.screens.page_ranges import ranges
from vmdbg.debugger.screens.page_rules import ACCESSES, verdict
from vmdbg.debugger.walk import walk
from vmdbg.machine.paging import translate
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

CR0_WP, CR4_SMEP, CR4_SMAP, AC = 1 << 16, 1 << 20, 1 << 21, 1 << 18
TOUCHED = (0, 1, 2, 3, 4, 7, 13, 21, 41, 63)  # bits of an entry


def paged(name: str):
    """A guest that has just turned paging on."""
    session = open_bare(load_guest(guests.shipped()[name], Options()), engine="plain")
    while not int(session.cpu.cr0) >> 31 & 1 or session.read(session.rip, 1) is None:
        session.step(50)
    return session


@pytest.mark.parametrize("name", ["dual_mode", "long64"])
def test_verdicts_are_the_machines(name):
    """Allowed or not, and the error code: for every access of both rings, whatever the bits of the entries are."""
    session, draw = paged(name), random.Random(14)
    cpu, ram = session.cpu, session.machine.ram
    linear = session.rip
    cr0, cr4, flags, efer = int(cpu.cr0), int(cpu.cr4), int(cpu.eflags), int(cpu.efer)
    refused = set()
    for _ in range(200):
        kept = [(level.at, level.entry) for level in walk(session, linear).levels]
        size = 8 if cr4 & 0x20 else 4
        user_page = draw.choice((0, 4))
        for at, entry in kept:
            value = entry | user_page
            for bit in draw.sample([b for b in TOUCHED if b < 8 * size], draw.choice((0, 0, 1, 2))):
                value ^= 1 << bit
            ram[at : at + size] = bytearray(value.to_bytes(size, "little"))
        cpu.cr0 = U64(cr0 & ~CR0_WP | draw.choice((0, CR0_WP)))
        cpu.cr4 = U64(cr4 | draw.choice((0, CR4_SMEP)) | draw.choice((0, CR4_SMAP)))
        cpu.efer = U64(efer | draw.choice((0, 0x800)))
        cpu.eflags = U64(flags & ~AC | draw.choice((0, AC)))
        way = walk(session, linear)
        for access in ACCESSES:
            for user in (False, True):
                said = verdict(cpu, way, access, user)
                ok, _ = translate(cpu, U64(linear), access == "write", user, access == "fetch", False)
                assert said.allowed == bool(ok), (said, way)
                if not ok:
                    assert said.error == int(cpu.error_code), (said, way)
                    refused.add(said.rule.split()[0])
        for at, entry in kept:
            ram[at : at + size] = bytearray(entry.to_bytes(size, "little"))
    assert {"P", "R/W", "U/S", "SMEP:", "SMAP:"} | ({"XD", "reserved"} if name == "long64" else set()) <= refused, refused


@pytest.mark.parametrize("name", ["dual_mode", "long64"])
def test_ranges_are_what_the_walk_finds(name):
    """Inside every range the walk leads to memory, and beside it not or with other rights; none overlap."""
    session = paged(name)
    found, cut = ranges(session)
    assert found and not cut
    for before, after in zip(found, found[1:]):
        assert before.last < after.first
    for r in found[:50]:
        assert walk(session, r.first).physical == r.physical
        assert walk(session, r.last & ~0xFFF).physical is not None
    assert any(r.first <= session.rip <= r.last for r in found)
