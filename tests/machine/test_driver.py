"""The driver around the handlers: code that changes, slots, shadows, single steps, slices.  Each claim is the smallest form of a bug."""

import struct

import pytest

from vmdbg.machine.state import CS, RAX, RBX, RSP, Cpu
from vmdbg.machine.tlb import CONTEXTS

from .endless import BY_NAME, CODE, COUNTER, DATA, DEVICE, HANDLERS, HOLE, OTHER, PAGE, Run, entry_address, given, load

ENGINES = ("plain", "threaded")
FLAT, PAGED, LONG = BY_NAME["protected32"], BY_NAME["paged32"], BY_NAME["long"]
EAX, EBX = RAX, RBX
TF = 0x100


@pytest.fixture(params=ENGINES)
def start(request):
    """start(mode, (address, bytes) ..., registers) -> Run."""

    def made(mode, *pieces, registers=None) -> Run:
        return load(given(mode, *pieces, registers=registers), request.param)

    return made


def u32(value: int) -> bytes:
    return struct.pack("<I", value & 0xFFFFFFFF)


def store(address: int, value: int) -> bytes:
    """MOV dword [address], value, 32-bit code."""
    return b"\xc7\x05" + u32(address) + u32(value)


def jump(at: int, to: int) -> bytes:
    """JMP near at `at`."""
    return b"\xe9" + u32(to - at - 5)


def cpu_of(run: Run) -> Cpu:
    return run.machine.cpus[0]


# ---- code that changes


def test_a_store_into_code_that_was_data_a_moment_ago(start):
    """The TLB's right to write a page ends when code is translated from it, not at the next branch."""
    page = CODE + PAGE
    first = store(page + 0x800, 0)
    change = store(page + 10, 0x43434343)  # INC EBX four times instead of INC EAX
    run = start(FLAT, (CODE, first + jump(CODE + len(first), page)), (page, change + b"\x40" * 4))
    run.go(7)
    assert (int(cpu_of(run).gpr[EAX]), int(cpu_of(run).gpr[EBX])) == (0, 4)


@pytest.mark.parametrize("ahead", [1, 40])
def test_a_store_into_the_running_block(start, ahead):
    change = store(CODE + 10 + ahead, 0x43434343)
    run = start(FLAT, (CODE, change + b"\x40" * 60))
    run.go(1 + ahead + 4)
    assert (int(cpu_of(run).gpr[EAX]), int(cpu_of(run).gpr[EBX])) == (ahead, 4)


def test_a_store_whose_last_bytes_reach_code(start):
    """Code lies only in the second of the two 64-byte pieces that are written."""
    code = CODE + PAGE + 64
    first = jump(CODE, code)
    back = b"\x40" + jump(code + 1, CODE + 16)
    change = store(code - 3, 0x43434343)  # its last byte is the first of the code
    run = start(FLAT, (CODE, first), (CODE + 16, change + jump(CODE + 26, code)), (code, back))
    run.go(5)
    assert (int(cpu_of(run).gpr[EAX]), int(cpu_of(run).gpr[EBX])) == (1, 0)
    run.go(1)
    assert (int(cpu_of(run).gpr[EAX]), int(cpu_of(run).gpr[EBX])) == (1, 1)


@pytest.mark.parametrize("at, dropped", [(-4, False), (-3, True), (0, True), (4, True), (5, False)])
def test_data_beside_code_are_no_code(start, at, dropped):
    """A store drops what was translated from the bytes that it writes: real-mode programs have their variables beside their code."""
    code = CODE + PAGE + 63  # five bytes on both sides of the end of a 64-byte piece
    change = store(code + at, 0x43434343)
    run = start(FLAT, (CODE, jump(CODE, code)), (code, jump(code, CODE + 16)), (CODE + 16, change))
    run.go(2)
    before = int(run.machine.shared.invalidations)
    run.go(1)
    assert (int(run.machine.shared.invalidations) > before) == dropped
    assert run.machine.read_physical(code + at, 4) == b"CCCC"


def test_the_second_page_of_an_instruction_is_mapped_elsewhere(start):
    """An instruction across two pages is translated from both: B8 is followed by other bytes when the second page is another one."""
    at, second = CODE + PAGE - 1, CODE + PAGE
    again = jump(second + 4, CODE + 64)
    change = store(entry_address(PAGED, second >> 12), OTHER | 7)
    run = start(
        PAGED,
        (CODE, jump(CODE, at)),
        (at, b"\xb8" + u32(0x11111111) + again),
        (OTHER, u32(0x22222222) + again),
        (CODE + 64, change + jump(CODE + 74, at)),
    )
    run.go(2)
    assert int(cpu_of(run).gpr[EAX]) == 0x11111111
    run.go(4)
    assert int(cpu_of(run).gpr[EAX]) == 0x22222222


def test_the_second_page_of_an_instruction_goes_away(start):
    at, second = CODE + PAGE - 1, CODE + PAGE
    run = start(
        PAGED,
        (CODE, jump(CODE, at)),
        (at, b"\xb8" + u32(0x11111111) + jump(second + 4, CODE + 64)),
        (CODE + 64, store(entry_address(PAGED, second >> 12), 0) + jump(CODE + 74, at)),
    )
    run.go(6)
    cpu = cpu_of(run)
    assert (int(cpu.events), int(cpu.cr2), int(cpu.fault_rip)) == (1, second, at)


def test_a_jump_to_a_page_that_is_mapped_elsewhere(start):
    """Blocks are not linked across pages: the same jump leads to other code when the page is another one."""
    page = CODE + PAGE
    back = jump(page + 1, CODE + 64)
    run = start(
        PAGED,
        (CODE, jump(CODE, page)),
        (page, b"\x40" + back),
        (OTHER, b"\x43" + back),
        (CODE + 64, b"\x41\x83\xf9\x03\x75\xba" + store(entry_address(PAGED, page >> 12), OTHER | 7) + b"\x31\xc9" + jump(CODE + 82, CODE)),
    )
    run.go(40)
    cpu = cpu_of(run)
    assert int(cpu.gpr[EAX]) == 3 and int(cpu.gpr[EBX]) > 1


def test_data_of_a_page_that_is_mapped_elsewhere(start):
    """A write to a page table entry drops the translation that came from it, also when its place in the TLB is used again."""
    page = CODE + PAGE
    load_eax, load_ebx = b"\xa1" + u32(page), b"\x8b\x1d" + u32(page)
    change = store(entry_address(PAGED, page >> 12), OTHER | 7)  # its A bit is set by each walk: this is a change each time
    run = start(PAGED, (CODE, load_eax + (change + load_ebx) * CONTEXTS), (page, u32(0x11111111)), (OTHER, u32(0x22222222)))
    run.go(1)
    for n in range(CONTEXTS):
        run.go(2)
        assert (int(cpu_of(run).gpr[EAX]), int(cpu_of(run).gpr[EBX])) == (0x11111111, 0x22222222), f"change {n + 1}"


def test_code_beyond_a_limit_that_shrank(start):
    """What was translated under one limit of CS is not executed under a smaller one."""
    run = start(FLAT, (CODE, b"\x40" * 20 + jump(CODE + 20, CODE)))
    run.go(42)
    cpu = cpu_of(run)
    cpu.seg_limit[CS] = CODE + 9
    run.go(11)
    assert (int(cpu.events), int(cpu.fault_rip)) == (1, CODE + 10)


def test_code_between_page_table_entries(start):
    """An instruction whose access sets the A bit beside it begins anew, and the budget of its block is given back whole."""
    entry = entry_address(PAGED, 0x200 + (OTHER >> 12))
    run = start(PAGED, (CODE, jump(CODE, entry + 4)), (entry + 4, b"\xa1" + u32(OTHER + 0x200000) + b"\x43" * 28 + b"\xeb\xfe"))
    run.machine.run(1)
    run.machine.run(35)
    cpu = cpu_of(run)
    assert (int(cpu.gpr[EBX]), int(cpu.instructions), run.machine.ram[entry]) == (28, 36, 0x27)


# ---- slots


def test_pusha_into_a_device(start):
    """All eight stores, in order, none lost when the last step of a slice makes them."""
    run = start(FLAT, (CODE, b"\x60\x40"), registers={n: 0x11 * n for n in range(8)})
    cpu_of(run).gpr[RSP] = DEVICE + 0x100
    run.machine.run(1)
    values = [0x11 * n for n in range(8)]
    values[RSP] = DEVICE + 0x100
    assert run.memory.log == [("w", 0xFC - 4 * n, 4, values[n]) for n in range(8)]
    assert int(cpu_of(run).instructions) == 1 and int(cpu_of(run).slow) == 0


def test_enter_takes_31_frames_from_a_device(start):
    """More accesses than any other instruction: each device word is read once."""
    run = start(FLAT, (CODE, b"\xc8\x00\x00\x1f"), registers={5: DEVICE + 0x200})
    cpu_of(run).gpr[RSP] = DEVICE + 0x800
    run.machine.run(1)
    cpu = cpu_of(run)
    assert int(cpu.instructions) == 1 and int(cpu.events) == 0
    assert [kind for kind, *_ in run.memory.log] == ["r"] * 30 + ["w"] * 32


def test_enter_0_into_code(start):
    """The last word is pushed where the new stack pointer is looked at for being writable."""
    target = CODE + 0x400
    run = start(FLAT, (CODE, jump(CODE, target)), (target, b"\x40" * 8 + jump(target + 8, CODE + 16)), (CODE + 16, b"\xc8\x00\x00\x01"))
    cpu_of(run).gpr[RSP], cpu_of(run).gpr[5] = target + 8, 0x12345678
    run.go(11)
    assert run.machine.ram[target : target + 8].tobytes() == u32(target + 4) + u32(0x12345678)


def test_fxsave_into_a_device(start):
    """Looking at the area first writes nothing."""
    run = start(FLAT, (CODE, b"\x0f\xae\x03"), registers={EBX: DEVICE + 0x400})
    run.machine.run(1)
    written = [offset + n for kind, offset, width, _value in run.memory.log for n in range(width)]
    assert len(written) == len(set(written)) == 24 + 128 + 8 + 128


@pytest.mark.parametrize("code", [b"\x0f\xae\x2b", b"\x0f\xae\x0b", b"\xdd\x23"], ids=["XRSTOR", "FXRSTOR", "FRSTOR"])
def test_wide_reads_of_a_device(start, code):
    """Every byte of the area is read at most once."""
    run, reads = start(FLAT, (CODE, code), registers={EAX: 3, EBX: DEVICE + 0x400}), []

    def read(offset: int, width: int) -> int:
        reads.extend(range(offset, offset + width))
        return 3 if offset == 0x600 else 0  # XSTATE_BV

    run.memory.read, cpu_of(run).xcr0 = read, 3
    run.machine.run(1)
    assert len(reads) == len(set(reads)) >= 94 and int(cpu_of(run).mmio_count) == 0
    assert (int(cpu_of(run).instructions), int(cpu_of(run).events)) == (1, 0)


def test_fxsave_into_code(start):
    """An area in which code was translated: all of it is written, and the code is new."""
    target = CODE + 0x400
    code = (CODE, jump(CODE, target)), (target, b"\x40" + jump(target + 1, CODE + 16)), (CODE + 16, b"\x0f\xae\x03")
    run = start(FLAT, *code, registers={EBX: target})
    run.go(4)
    assert run.machine.ram[target : target + 2].tobytes() == b"\x40\x00"
    assert run.machine.ram[target + 24 : target + 28].tobytes() == u32(0x1F80)
    assert int(cpu_of(run).instructions) == 4


@pytest.mark.parametrize(
    "code", [b"\x0f\xab\x03", b"\x0f\xb3\x03", b"\x0f\xbb\x03", b"\x0f\xc7\x0b"], ids=["BTS", "BTR", "BTC", "CMPXCHG8B"]
)
def test_what_is_read_and_written_is_read_from_the_device(start, code):
    run = start(FLAT, (CODE, code), registers={EBX: DEVICE + 0x40, 1: 0x11223344})
    run.memory.read = lambda offset, width: 0x0101_0101_0101_0101 & (1 << 8 * width) - 1
    run.machine.run(1)
    (kind, offset, width, value) = run.memory.log[-1]
    expected = {0xAB: 0x01010101, 0xB3: 0x01010100, 0xBB: 0x01010100, 0xC7: 0x0101010101010101}[code[1]]
    assert (kind, offset, width, value) == ("w", 0x40, 8 if code[1] == 0xC7 else 4, expected)


def test_a_masked_store_leaves_the_other_bytes_of_a_device_alone(start):
    """MASKMOVDQU and MASKMOVQ: what the mask leaves out is neither read nor written."""
    run = start(FLAT, (CODE, b"\x66\x0f\xf7\xca\x40"), registers={7: DEVICE + 0x3C})
    cpu = cpu_of(run)
    cpu.cr4 = int(cpu.cr4) | 0x200
    cpu.xmm[2], cpu.xmm[3] = 0x1111_1122_3344_5566, 0x77
    cpu.xmm[4], cpu.xmm[5] = 0x8000_0000_0080_8000, 0x80
    run.machine.run(1)
    assert run.memory.log == [("w", 0x3D, 1, 0x55), ("w", 0x3E, 1, 0x44), ("w", 0x43, 1, 0x11), ("w", 0x44, 1, 0x77)]


def test_a_write_back_ends_with_its_step(start):
    """A store to a device has happened when the run that was to execute it returns."""
    run = start(FLAT, (CODE, store(DEVICE, 7) + b"\x40"))
    run.machine.run(1)
    assert run.memory.log == [("w", 0, 4, 7)]


def test_a_store_that_crosses_into_a_device(start):
    run = start(FLAT, (CODE, store(DEVICE - 1, 0x44332211) + b"\x40"))
    run.machine.run(1)
    assert run.machine.ram[DEVICE - 1] == 0x11 and run.memory.log == [("w", 0, 2, 0x3322), ("w", 2, 1, 0x44)]


# ---- shadows and single steps


def test_a_single_step_over_a_page_crossing_access(start):
    run = start(FLAT, (CODE, b"\xa1" + u32(DATA + PAGE - 2) + b"\x43"))
    cpu_of(run).eflags = 2 | TF
    run.go(2)
    assert int(cpu_of(run).events) == 1 and int(cpu_of(run).rip) == HANDLERS + 16


def test_the_shadow_of_sti_ends_after_a_page_crossing_access(start):
    run = start(FLAT, (CODE, b"\xfb\xa1" + u32(DATA + PAGE - 2) + b"\x43"))
    run.go(1)
    assert int(cpu_of(run).shadow) == 1
    run.go(1)
    assert int(cpu_of(run).shadow) == 0


def test_int_n_takes_its_single_step_trap_back(start):
    """INT n clears TF before the trap that would follow it; it comes after the handler's IRET (SDM vol. 3, 17.3.1.4)."""
    run = start(FLAT, (CODE, b"\xcd\x30"))
    cpu_of(run).eflags = 2 | TF
    run.go(2)
    assert int(cpu_of(run).events) == 0 and int(cpu_of(run).pending_db) == 0 and int(cpu_of(run).instructions) == 2


def test_hlt_ends_with_a_single_step_trap(start):
    run = start(FLAT, (CODE, b"\xf4\x43"))
    cpu_of(run).eflags = 2 | TF
    run.go(2)
    assert int(cpu_of(run).events) == 1 and int(cpu_of(run).activity) == 0


# ---- faults and events


def test_a_descriptor_table_in_a_device_reads_as_ones_for_events(start):
    """An event reads no device; its gate is then no gate, and the CPU shuts down instead of hanging."""
    run = start(FLAT, (CODE, b"\x0f\x0b"))
    cpu_of(run).idtr_base = DEVICE
    stop = run.machine.run(10)
    assert stop.reason == "shutdown" and run.memory.log == []


def test_alignment_checks_that_raise_each_other_end(start):
    """A handler of level 3 on a stack that is not aligned: #AC raises #AC, which is benign each time; a real CPU hangs (CVE-2015-5307)."""
    run = start(BY_NAME["paged32_user"], (CODE, b"\x0f\x0b"))
    cpu, ram = cpu_of(run), run.machine.ram
    for vector in (6, 17):
        ram[0x2000 + 8 * vector + 2] = 4 * 8 | 3  # the selector of user code
    cpu.cr0, cpu.eflags, cpu.gpr[RSP] = int(cpu.cr0) | 0x40000, 0x40002, 0x31802
    assert run.machine.run(10).reason == "shutdown"
    assert [int(cpu.chain_vector[n]) for n in range(int(cpu.chain_length))] == [6] + [17] * 7


def test_a_fault_leaves_the_budget_as_it_was(start):
    """A block of 20 that faults at its third instruction has done two, and one event."""
    run = start(PAGED, (CODE, b"\x40\x40\xa1" + u32(HOLE) + b"\x43" * 17))
    run.machine.run(3)
    cpu = cpu_of(run)
    assert (int(cpu.instructions), int(cpu.events), int(cpu.gpr[EAX]), int(cpu.rip)) == (2, 1, 2, HANDLERS + 16 * 14)
    assert run.machine.ram[COUNTER] == 0


# ---- A and D bits

ENTRY = entry_address(PAGED, DATA >> 12)


def test_a_dirty_bit_waits_for_the_whole_instruction(start):
    """A store into two pages, the second of which cannot be written, leaves the first one clean (contract.md section 2)."""
    last = 0x23000 - 2  # the page after it is read-only
    run = start(PAGED, (CODE, store(last, 0x11223344)))
    run.go(1)
    assert int(cpu_of(run).events) == 1
    assert [run.machine.ram[entry_address(PAGED, page)] for page in (0x22, 0x23)] == [0x27, 0x05]


def test_a_dirty_bit_of_a_copy_that_cannot_read(start):
    """MOVS: the destination can be written, the source cannot be read; and the other way round nothing is dirty either."""
    run = start(PAGED, (CODE, b"\xa4"), registers={6: HOLE, 7: DATA})
    run.go(1)
    assert int(cpu_of(run).events) == 1 and run.machine.ram[ENTRY] & 0x40 == 0
    run = start(PAGED, (CODE, b"\x8f\x05" + u32(HOLE)))  # POP to a hole
    run.go(1)
    assert int(cpu_of(run).events) == 1 and run.machine.ram[ENTRY] & 0x40 == 0


@pytest.mark.parametrize("code", [store(DATA, 5), b"\xff\x05" + u32(DATA), b"\x0f\xb1\x0d" + u32(DATA)], ids=["MOV", "INC", "CMPXCHG"])
def test_a_write_makes_a_page_dirty(start, code):
    run = start(PAGED, (CODE, code))
    assert run.machine.ram[ENTRY] == 7
    run.go(1)
    assert run.machine.ram[ENTRY] == 0x67 and int(cpu_of(run).instructions) == 1


def test_the_stack_of_a_handler_becomes_dirty(start):
    run = start(PAGED, (CODE, b"\x0f\x0b"))
    run.go(1)
    assert run.machine.ram[entry_address(PAGED, 0x31)] == 0x67


def test_a_page_that_an_event_could_not_push_to_stays_clean(start):
    """#UD pushes across two pages: the lower one is not there, so that #PF and #DF follow, which cannot push either."""
    run = start(PAGED, (CODE, b"\x0f\x0b"))
    cpu_of(run).gpr[RSP] = HOLE + PAGE + 4
    stop = run.machine.run(1)
    assert stop.reason == "shutdown" and run.machine.ram[entry_address(PAGED, (HOLE >> 12) + 1)] == 0x27


def test_what_an_event_did_not_push_is_forgotten(start):
    """#UD finds room on the present stack, but its handler's address is not canonical: only the frame of the #GP, elsewhere, is pushed."""
    run = start(LONG, (CODE, b"\x0f\x0b"))
    ram, gate = run.machine.ram, 0x2000 + 16 * 6
    ram[gate + 4], ram[gate + 11] = 0, 0x80  # no IST; bit 63 of the offset
    run.go(1)
    cpu = cpu_of(run)
    assert (int(cpu.chain_vector[0]), int(cpu.chain_vector[1]), int(cpu.rip)) == (6, 13, HANDLERS + 16 * 13)
    assert [ram[entry_address(LONG, page)] & 0x40 for page in (0x31, 0x34)] == [0, 0x40]


def test_page_tables_in_rom_stay_as_they_are(start):
    """A bits are writes like others: into a ROM they go nowhere, and the walk succeeds all the same."""
    run = start(PAGED, (CODE, b"\xa1" + u32(DATA) + store(DATA, 5)))
    table = 0x8000 + 3 * PAGE
    before = run.machine.ram[table : table + PAGE].tobytes()
    run.machine.make_rom(table, PAGE)
    run.go(2)
    cpu = cpu_of(run)
    assert int(cpu.instructions) == 2 and int(cpu.events) == 0 and run.machine.ram[DATA] == 5
    assert run.machine.ram[table : table + PAGE].tobytes() == before


def test_a_task_state_segment_in_rom(start):
    """A task switch reads its segment where the ROM is, not where RAM would be if it reached that far."""
    run = start(FLAT, (CODE, b"\xea" + u32(0) + struct.pack("<H", 0x80)))
    state = bytearray(PAGE)
    struct.pack_into("<3I", state, 0x1C, 0x8000, CODE + 0x100, 2)
    struct.pack_into("<7I", state, 0x48, 16, 8, 16, 16, 16, 16, 0)
    run.machine.add_rom(bytes(state))
    run.machine.write_physical(0x1000 + 0x80, struct.pack("<Q", 0xFF0089FFF0000067))
    run.go(1)
    cpu = cpu_of(run)
    assert (int(cpu.instructions), int(cpu.events), int(cpu.rip)) == (1, 0, CODE + 0x100)


# ---- what a run stops before


def test_a_fault_at_the_gate_of_int_n_is_stopped_at(start):
    """INT n has been stopped at and goes on; the #GP that its gate raises is another event, and is stopped at once."""
    run = start(FLAT, (CODE, b"\xcd\x30"))
    cpu = cpu_of(run)
    cpu.idtr_limit = 0x30 * 8 - 1
    run.machine.intercept([0x30, 13])
    assert [(s.reason, s.vector) for s in (run.machine.run(1, resume=False), run.machine.run(1), run.machine.run(1))] == [
        ("trap", 0x30),
        ("trap", 13),
        ("budget", None),
    ]
    assert (int(cpu.instructions), int(cpu.events), int(cpu.rip)) == (0, 1, HANDLERS + 16 * 13)


def test_a_breakpoint_behind_a_store_to_a_device(start):
    """The store's write-back is asked of Python in the middle; the run still ends before the next instruction."""
    run = start(FLAT, (CODE, store(DEVICE, 7) + b"\x40\x43"))
    run.machine.set_breakpoints([CODE + 10])
    assert run.machine.run(5).reason == "break"
    assert (int(cpu_of(run).rip), int(cpu_of(run).instructions)) == (CODE + 10, 1)


def test_software_interrupts_after_a_store_to_a_device(start):
    """INT n that pushes to a device is let pass once; the next one is stopped at."""
    run = start(FLAT, (CODE, b"\xcd\x30"), (HANDLERS, b"\xcd\x31"))
    cpu_of(run).gpr[RSP] = DEVICE + 0x100
    run.machine.intercept([0x30, 0x31])
    assert [run.machine.run(5, resume=False).vector, run.machine.run(5).vector] == [0x30, 0x31]
    assert int(cpu_of(run).instructions) == 1
