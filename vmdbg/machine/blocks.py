"""Translated code: decoded once, found by physical address (as a backing offset), rip and mode, dropped when its bytes are written.

    jump cache (per vCPU): rip, key -> uop          the key changes with address space, mode and CS base
    hash: physical address, rip, mode -> Block      shared by all vCPUs; limit of CS and second page are compared
    page_head[page] -> blocks on that page          page_code, code_bytes: which bytes they came from (code_pages.py)

A block ends at a branch, at an instruction that changes what comes next, at the end of a page, after LONGEST
instructions, or before an instruction that cannot be decoded.  An instruction that crosses into the next page is a
block of its own.  A dead block's first uop can no longer be entered, so links to it need not be found.
"""

from isa.decoder import decode_into
from isa.decoding import TRUNCATED, UNDEFINED, Decoded, DecodeTables
from isa.lang.struct import words8, words16, words32, words64
from isa.lang.word import U8, U32, U64, outlined
from vmdbg.machine.code_pages import CHAINS, HELD, block_at, hash_of, mark_bytes, unmark
from vmdbg.machine.faults import fault
from vmdbg.machine.kinds import GPR_OFFSET, PLAIN_NUMBER
from vmdbg.machine.paging import translate
from vmdbg.machine.physical import ABSENT, PAGE_CODE, PAGE_DEVICE, backing, phys_mark
from vmdbg.machine.state import CR0_PG, CS, FS, GP, UD, CacheEntry, Shared, Uop
from vmdbg.machine.tlb import block_mode, code_limit

LONGEST = 32
ONE_PAGE = 1  # in block.second: it does not cross into a second page
GOTO, STOP, FIRST_KIND = 0, 1, 2  # in the table of handlers
CACHE = 4096


def cache_entry(cpu, rip):
    return CacheEntry(cpu.cache + (((rip ^ (rip >> 12)) & (CACHE - 1)) << 5))


def code_linear(cpu, rip):
    """The linear address of an offset in CS."""
    if cpu.bits == 64:
        return rip
    return (cpu.seg_base[CS] + rip) & 0xFFFFFFFF


def fetch_physical(cpu, linear):
    """(ok, backing offset) of a code byte; a fault is left if not ok."""
    if (cpu.cr0 & CR0_PG) == 0:
        return True, backing(cpu, linear & 0xFFFFFFFF & cpu.a20_mask)
    ok, pa = translate(cpu, linear, False, cpu.cpl == 3, True, False)
    return ok, backing(cpu, pa & cpu.a20_mask)


def next_page(cpu, linear):
    """The linear address of the page after the one that holds `linear`."""
    following = (linear & ~U64(0xFFF)) + 0x1000
    if cpu.bits == 64:
        return following
    return following & 0xFFFFFFFF


def readable_code(cpu, pa):
    """Whether code can be fetched from backing offset pa."""
    if pa == U64(ABSENT):
        return False
    return (words8(cpu.page_flags)[pa >> 12] & PAGE_DEVICE) == 0


@outlined
def drop_all(cpu):
    """Forget all translated code."""
    shared = Shared(cpu.shared)
    n = U64(0)
    while n < CHAINS:
        words32(shared.hash)[n] = U32(0)
        n = n + 1
    n = U64(0)
    while n < ((cpu.ram_size + cpu.rom_size) >> 12):
        words32(shared.page_head)[n] = U32(0)
        unmark(cpu, n)
        n = n + 1
    shared.block_count = U64(1)
    shared.uop_count = U64(0)
    shared.flush_epoch = shared.flush_epoch + 1
    shared.invalidations = shared.invalidations + 1
    cpu.origin = U64(0)


def mark_code(cpu, pa, length):
    """Note that `length` bytes at pa, within one page, are now translated."""
    mark_bytes(cpu, pa, length)
    phys_mark(cpu, pa, U8(PAGE_CODE))


def holds(list, count, address):
    """Binary search in a sorted list of addresses."""
    low, high = U64(0), count
    addresses = words64(list)
    while low < high:
        middle = (low + high) >> 1
        if addresses[middle] < address:
            low = middle + 1
        else:
            high = middle
    if low == count:
        return False
    return addresses[low] == address


def is_breakpoint(shared, linear, at, form):
    """Whether the run stops before an instruction: by its linear address, its backing offset, or what it is."""
    if holds(shared.breakpoints, shared.breakpoint_count, linear):
        return True
    if shared.armed != 0 and words8(shared.armed)[form] != 0:
        return True
    return shared.physical_breakpoint_count != 0 and holds(shared.physical_breakpoints, shared.physical_breakpoint_count, at)


def register_field(how, number):
    """What a uop keeps of a decoded register number: the byte offset of a general register, or the number."""
    if how == GPR_OFFSET:
        if number >= 20:
            return ((number - 20) << 3) + 1  # AH CH DH BH
        return number << 3
    if how == PLAIN_NUMBER:
        return number
    return U8(0)


def fill_uop(cpu, shared, u, d, rip):
    """A uop from a decoded instruction."""
    shape = U64(0)
    if cpu.bits == 64 and d.asize == 64 and d.seg < FS:
        shape = U64(1)
    form = U64(d.form)
    kind = words16(shared.kinds)[(form << 1) | shape]
    how = words8(shared.operands + (form << 2))
    u.handler = words64(shared.handlers)[kind + FIRST_KIND]
    u.r0 = register_field(how[0], d.r0)
    u.r1 = register_field(how[1], d.r1)
    u.r2 = register_field(how[2], d.r2)
    u.base, u.index, u.scale, u.seg = d.base, d.index, d.scale, d.seg
    u.length, u.asize, u.osize, u.rep = d.length, d.asize, d.osize, d.rep
    u.imm, u.disp = d.imm, d.disp
    after = rip + U64(d.length)
    if cpu.bits != 64:  # EIP has 32 bits in 16-bit code too; only branches cut it
        after = after & 0xFFFFFFFF
    u.after = after
    u.taken = cpu.missing
    u.fall = cpu.missing
    return words8(shared.ends)[kind] != 0


def decode_at(cpu, shared, linear, rip, pa, first):
    """Decode at physical pa into the buffer; (status, crossing, second page).  status: 0 good, 1 fault left, 2 end the block here."""
    d = Decoded(shared.buffer + 32)
    room = U64(0x1000) - (pa & 0xFFF)
    if room > 15:
        room = U64(15)
    code = cpu.ram + pa
    decode_into(DecodeTables(shared.decoder), code, room, U64(cpu.bits), rip, d)
    if d.length == 0 and d.reason == TRUNCATED and room < 15:
        if not first:
            return U64(2), False, U64(0)
        ok, other = fetch_physical(cpu, next_page(cpu, linear))
        if not ok:
            return U64(1), False, U64(0)
        n = U64(0)
        while n < 15:
            if n < room:
                words8(shared.buffer)[n] = words8(code)[n]
            elif readable_code(cpu, other):
                words8(shared.buffer)[n] = words8(cpu.ram + other)[n - room]
            else:
                words8(shared.buffer)[n] = U8(0xFF)
            n = n + 1
        decode_into(DecodeTables(shared.decoder), shared.buffer, U64(15), U64(cpu.bits), rip, d)
        if d.length != 0:
            return U64(0), True, other
    if d.length == 0:
        if not first:
            return U64(2), False, U64(0)
        if d.reason == UNDEFINED:
            fault(cpu, UD, 0)
        else:
            fault(cpu, GP, 0)
        return U64(1), False, U64(0)
    return U64(0), False, U64(0)


@outlined
def build(cpu, linear, pa):
    """Translate the block at cpu.rip, linear address `linear`, physical address pa: its first uop's address, or 0 and a fault."""
    shared = Shared(cpu.shared)
    if shared.uop_count + (LONGEST + 2) > shared.uop_limit or shared.block_count == shared.block_limit:
        drop_all(cpu)
    if not readable_code(cpu, pa):
        fault(cpu, UD, 0)
        return U64(0)
    d = Decoded(shared.buffer + 32)
    start = shared.uops + (shared.uop_count << 6)
    rip, at, count = cpu.rip, pa, U64(0)
    other, crossed, ended = U64(0), False, False
    while not ended:
        status, crossed, other = decode_at(cpu, shared, linear, rip, at, count == 0)
        if status == 1:
            return U64(0)
        if status == 2:
            ended = True
        elif cpu.bits != 64 and rip + U64(d.length) - 1 > cpu.seg_limit[CS]:
            if count == 0:
                fault(cpu, GP, 0)
                return U64(0)
            ended = True
        else:
            u = Uop(start + (count << 6))
            ended = fill_uop(cpu, shared, u, d, rip)
            u.trap = U8(is_breakpoint(shared, linear, at, U64(d.form)))
            length = U64(d.length)
            if crossed:
                room = U64(0x1000) - (at & 0xFFF)
                mark_code(cpu, at, room)
                if readable_code(cpu, other):
                    mark_code(cpu, other, length - room)
                ended = True
            else:
                mark_code(cpu, at, length)
            count = count + 1
            if u.after < rip:
                ended = True
            rip = u.after
            linear = linear + length
            at = at + length
            if (at & 0xFFF) == 0 or count == LONGEST:
                ended = True
    finish(cpu, shared, start, count, rip)
    record(cpu, shared, pa, start, count, crossed, other)
    return start


def finish(cpu, shared, start, count, rip):
    """Costs from the back, and the uop that goes on where a block ends without a branch."""
    end = Uop(start + (count << 6))
    end.handler, end.after, end.length, end.trap = words64(shared.handlers)[GOTO], rip, U8(0), U8(0)
    end.fall, end.taken, end.cost = cpu.missing, cpu.missing, U32(0)
    end.length = U8(0)
    k, held, left = count, U32(0), U32(0)
    while k != 0:
        k = k - 1
        u = Uop(start + (k << 6))
        left = left + 1
        if u.trap != 0:
            held = U32(HELD)
        u.cost = left | held


def record(cpu, shared, pa, start, count, crossed, other):
    """Enter a finished block into the hash and the lists of its pages."""
    n = U32(shared.block_count)
    b = block_at(shared, n)
    shared.block_count = shared.block_count + 1
    shared.uop_count = shared.uop_count + count + 1
    b.physical, b.rip, b.mode, b.uop, b.count = pa, cpu.rip, block_mode(cpu), start, U32(count)
    b.limit = code_limit(cpu)
    b.second = other if crossed else ONE_PAGE
    heads = words32(shared.hash)
    h = hash_of(pa, b.rip)
    b.next = heads[h]
    heads[h] = n
    pages = words32(shared.page_head)
    b.page[0] = U32(pa >> 12)
    b.next_in_page[0] = pages[pa >> 12]
    pages[pa >> 12] = n
    b.page[1] = U32(0)
    b.next_in_page[1] = U32(0)
    if crossed and (other >> 12) != (pa >> 12) and readable_code(cpu, other):
        b.page[1] = U32(other >> 12)
        b.next_in_page[1] = pages[other >> 12]
        pages[other >> 12] = n


@outlined
def find_block(cpu):
    """The first uop of the block at cpu.rip (its address), translated if need be; 0: the fetch faults, the fault is left."""
    shared = Shared(cpu.shared)
    if cpu.bits != 64 and cpu.rip > cpu.seg_limit[CS]:
        fault(cpu, GP, 0)
        return U64(0)
    linear = code_linear(cpu, cpu.rip)
    ok, pa = fetch_physical(cpu, linear)
    if not ok:
        return U64(0)
    mode, limit = block_mode(cpu), code_limit(cpu)
    n = words32(shared.hash)[hash_of(pa, cpu.rip)]
    found = U64(0)
    while n != 0:
        b = block_at(shared, n)
        n = b.next
        if b.physical == pa and b.rip == cpu.rip and b.mode == mode and b.limit == limit:
            if b.second == ONE_PAGE:
                found = b.uop
            else:
                ok, other = fetch_physical(cpu, next_page(cpu, linear))
                if not ok:
                    return U64(0)
                if other == b.second:
                    found = b.uop
            if found != 0:
                n = U32(0)
    if found == 0:
        found = build(cpu, linear, pa)
        if found == 0:
            return found
    entry = cache_entry(cpu, cpu.rip)
    entry.rip, entry.key, entry.uop = cpu.rip, cpu.key, found
    return found


def lookup(cpu):
    """The address of the uop at cpu.rip as the jump cache knows it, or that of `missing`."""
    entry = cache_entry(cpu, cpu.rip)
    if entry.rip == cpu.rip and entry.key == cpu.key:
        return entry.uop
    return cpu.missing
