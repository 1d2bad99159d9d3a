"""The threaded engine: each uop's handler does its work and jumps to the handler of the next uop.

This is the part that is written in the word language: what stands around the handlers (made by glue.py), and the
driver.  Budget, pending requests and breakpoints are one test per block, in `enter`.

    run -> find the uop at rip -> execute: handler -> handler -> ... -> status -> deliver a fault, go slow, or return
"""

from isa.lang.struct import words64
from isa.lang.word import U8, U32, U64, negative, outlined
from vmdbg.machine.blocks import code_linear, find_block, lookup
from vmdbg.machine.code_pages import BREAKPOINT, DEAD, HELD
from vmdbg.machine.debug import DB_SINGLE_STEP, instruction_breakpoint
from vmdbg.machine.events import SOFTWARE, deliver
from vmdbg.machine.faults import fault
from vmdbg.machine.gates import EXCEPTION, EXTERNAL, NMI_EVENT
from vmdbg.machine.memory import entry_of, locate_slow, misaligned
from vmdbg.machine.segmentation import segment_check
from vmdbg.machine.slots import COMMITTING, DELIVERING, DEVICE_READ, SLOW_TRY, begin, commit, note_watched
from vmdbg.machine.state import (
    ASSIST,
    BRANCH,
    DB,
    END,
    EXIT,
    F_IF,
    F_RF,
    F_TF,
    FAULT,
    GP,
    HALT,
    NEXT,
    NMI,
    REPEAT,
    SLOW,
    X_SHUTDOWN,
    Shared,
    Uop,
)
from vmdbg.machine.tlb import refresh
from vmdbg.machine.watch import MEMORY, MODES, mode_changed

# Why the driver returns, besides EXIT, HALT and ASSIST
CHECK, PENDING, BUDGET, BREAK, INTERCEPT, YIELD, WATCHED, MODE = range(8, 16)
UOP_SIZE = 64
COST = HELD - 1
TRIES = 64  # more than an event's delivery can begin anew


def primitive(f):
    """Made by glue.py, not compiled from this text."""
    f.primitive = True
    return f


@primitive
def execute(cpu, u):
    """Run from u until a handler returns a status."""
    from vmdbg.machine import plain

    return plain.execute(cpu, u)


# ---- around the handlers


def enter(cpu, u):
    """Charge the rest of u's block to the budget; False if budget, pending or a breakpoint forbids it."""
    left = cpu.budget - U64(u.cost)
    if negative(left | cpu.pending):
        return False
    cpu.budget = left
    return True


@outlined
def leave(cpu, u, status):
    """A block ends at u with a status other than NEXT: give back what was charged for what did not happen."""
    cost = U64(u.cost & COST)
    if status == FAULT or status == EXIT or status == ASSIST:
        cpu.budget = cpu.budget + cost
        cpu.rip = before(cpu, u)
    else:
        cpu.budget = cpu.budget + cost - 1
        if status == END or status == HALT:
            cpu.rip = u.after
        elif status == REPEAT:
            cpu.rip = before(cpu, u)
    return status


def before(cpu, u):
    """The offset of u's own first byte."""
    rip = u.after - U64(u.length)
    if cpu.bits == 64:
        return rip
    return rip & 0xFFFFFFFF


def effective(cpu, u):
    """The offset of u's memory operand, cut to the address size."""
    offset = cpu.gpr[u.base] + (cpu.gpr[u.index] << U64(u.scale)) + u.disp
    if u.asize == 64:
        return offset
    if u.asize == 32:
        return offset & 0xFFFFFFFF
    return offset & 0xFFFF


@outlined
def operand(cpu, u, size, write, read, aligned):
    """Host address of u's memory operand, all checks made; 0: a fault is left."""
    ok, linear = segment_check(cpu, U64(u.seg), effective(cpu, u), size, write)
    if aligned and (linear & (size - 1)) != 0 and (ok or cpu.bits == 64):  # before #SS of an address that is not canonical
        cpu.vector, cpu.error_code, cpu.has_error = U64(GP), U64(0), U64(1)
        return U64(0)
    if not ok:
        return U64(0)
    if misaligned(cpu, linear, size):
        return U64(0)
    entry = entry_of(cpu.tlb, linear)
    page = entry.write if write else entry.read
    if page == ((linear + (size - 1)) & ~U64(0xFFF)):
        return linear + entry.addend
    return locate_slow(cpu, linear, size, write, read, False)


def operand_flat(cpu, u, size, write, read, aligned):
    """As operand, for the FLAT shape: 64-bit mode, no segment base."""
    linear = cpu.gpr[u.base] + (cpu.gpr[u.index] << U64(u.scale)) + u.disp
    entry = entry_of(cpu.tlb, linear)
    page = entry.write if write else entry.read
    if page == ((linear + (size - 1)) & ~U64(0xFFF)):
        if not aligned or (linear & (size - 1)) == 0:
            return linear + entry.addend
    return operand(cpu, u, size, write, read, aligned)


def next_uop(u):
    return Uop(u.address + UOP_SIZE)


# ---- the driver


def copy_uop(to, source):
    """Copy one uop."""
    a, b = words64(to), words64(source)
    a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7] = b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]


def part(cpu, u, most):
    """Run the head of u's block, at most `most` instructions and not into a breakpoint: a copy of it that ends in STOP."""
    n, whole = U64(0), U64(u.cost & COST)
    while n < whole and n < most and (n == 0 or Uop(u.address + (n << 6)).trap == 0):
        copy_uop(cpu.scratch + (n << 6), u.address + (n << 6))
        n = n + 1
    if whole == 0:  # an empty block's GOTO
        copy_uop(cpu.scratch, u.address)
    else:
        end, last = Uop(cpu.scratch + (n << 6)), Uop(cpu.scratch + (n << 6) - 64)
        end.handler, end.after, end.cost, end.length = cpu.stop, last.after, U32(0), U8(0)
    k = U64(0)
    while k < n:
        Uop(cpu.scratch + (k << 6)).cost = U32(n - k)
        k = k + 1
    cpu.rest = cpu.budget - n
    cpu.budget = U64(0)
    status = execute(cpu, Uop(cpu.scratch))
    cpu.budget = cpu.budget + cpu.rest
    cpu.rest = U64(0)
    return status


def link(cpu, u):
    """Let the uop that led here jump directly next time, if both lie in one page of one address space."""
    origin = Uop(cpu.origin)
    cpu.origin = U64(0)
    here = code_linear(cpu, cpu.rip) >> 12
    first = code_linear(cpu, origin.after - U64(origin.length)) >> 12
    last = code_linear(cpu, origin.after - 1) >> 12
    if first == here and last == here and origin.length != 0:
        if cpu.rip == origin.after:
            origin.fall = u.address
        else:
            origin.taken = u.address


def happened(status):
    """Whether an instruction was completed, or an iteration of it."""
    return status != FAULT and status != EXIT and status != ASSIST


def slow_step(cpu):
    """The instruction at rip with its memory operands in slots; they are written back when it is done.

    A page that becomes a page table meanwhile makes it start again: host addresses found before may have lost their right.
    """
    status, again = U64(FAULT), True
    cpu.watch_rip = cpu.rip
    while again:
        cpu.slow = U64(0)
        address = find(cpu)
        if address == 0:
            return U64(FAULT)
        cpu.slow = U64(SLOW_TRY)
        begin(cpu)
        status = U64(part(cpu, Uop(address), U64(1)))
        again = status == FAULT and cpu.vector == SLOW
        if again:
            refresh(cpu)
    if not happened(status):
        cpu.slow = U64(0)
        if status == FAULT and cpu.vector == DEVICE_READ:
            return EXIT
        if status == FAULT:
            cpu.mmio_count = U64(0)
        return status
    cpu.mmio_count = U64(0)
    cpu.latched = U64(0)
    if (cpu.watching & MEMORY) != 0:
        note_watched(cpu)
    cpu.slow = U64(COMMITTING)
    if commit(cpu) == EXIT:
        cpu.value_after = U64(status)
        return EXIT
    cpu.slow = U64(0)
    refresh(cpu)
    return status


@outlined
def deliver_event(cpu, vector, kind, error_code, has_error):
    """Deliver an event at cpu.rip, going through slots if need be: CHECK when it is delivered (one step), EXIT for shutdown.

    What it finds in device memory reads as all ones there, and what it pushes there goes nowhere.
    """
    rip = cpu.rip
    status = U64(deliver(cpu, vector, kind, error_code, has_error, rip))
    tries = U64(0)
    while status == FAULT and tries < TRIES:
        if cpu.late_fault != 0 and cpu.vector < 32:
            vector, kind, error_code, has_error = cpu.vector, U64(EXCEPTION), cpu.error_code, cpu.has_error
            rip = cpu.rip
        refresh(cpu)
        cpu.slow = U64(DELIVERING)
        begin(cpu)
        status = U64(deliver(cpu, vector, kind, error_code, has_error, rip))
        if status == BRANCH and (cpu.watching & MEMORY) != 0:
            note_watched(cpu)
        if status == BRANCH:
            while commit(cpu) == EXIT:
                status = U64(BRANCH)
        cpu.slow = U64(0)
        tries = tries + 1
    refresh(cpu)
    if status != BRANCH:
        cpu.reason = U64(X_SHUTDOWN)
        return U64(EXIT)
    cpu.budget = cpu.budget - 1
    cpu.events = cpu.events + 1
    return U64(CHECK)


def raise_fault(cpu):
    """Deliver the fault that is left in cpu.vector: CHECK when it is delivered, else a status for Python."""
    cpu.fault_rip = cpu.rip
    cpu.latched, cpu.mmio_count = U64(0), U64(0)
    if cpu.vector != DB:
        cpu.eflags = cpu.eflags | F_RF
    return deliver_event(cpu, cpu.vector, U64(EXCEPTION), cpu.error_code, cpu.has_error)


def debug_trap(cpu):
    """Deliver the debug trap whose causes are in cpu.pending_db."""
    return deliver_event(cpu, U64(DB), U64(EXCEPTION), U64(0), U64(0))


def in_flight(cpu):
    """Whether an instruction waits to be run again with what a device answered: nothing may come between."""
    return cpu.latched != 0 or cpu.mmio_count != 0


def external(cpu, passing):
    """NMI and INTR between two instructions.  CHECK: delivered; NEXT: none can be now; PENDING: Python acknowledges INTR."""
    if cpu.inject != 0:
        cpu.vector = cpu.inject & 0xFF
        if intercepted(cpu) and not passing:
            cpu.error_code, cpu.has_error = U64(0), U64(0)
            return U64(INTERCEPT)
        cpu.inject = U64(0)
        return deliver_event(cpu, cpu.vector, U64(EXTERNAL), U64(0), U64(0))
    if cpu.shadow != 0:
        return U64(NEXT)
    if cpu.nmi != 0 and cpu.nmi_blocked == 0:
        cpu.vector = U64(NMI)
        if intercepted(cpu) and not passing:
            cpu.error_code, cpu.has_error = U64(0), U64(0)
            return U64(INTERCEPT)
        cpu.nmi = U64(0)
        return deliver_event(cpu, U64(NMI), U64(NMI_EVENT), U64(0), U64(0))
    if cpu.intr > cpu.cr8 and (cpu.eflags & F_IF) != 0:
        return U64(PENDING)
    return U64(NEXT)


def intercepted(cpu):
    """Whether the vector about to be delivered is one to stop at."""
    v = cpu.vector & 0xFF
    return ((cpu.intercept[v >> 6] >> (v & 63)) & 1) != 0


def find(cpu):
    """The address of the uop at rip, 0 with a fault left; linked to where we came from."""
    address = lookup(cpu)
    if address == cpu.missing or Uop(address).trap == DEAD:
        address = find_block(cpu)
        shared = Shared(cpu.shared)
        if cpu.write_epoch != shared.write_epoch or cpu.flush_epoch != shared.flush_epoch:
            refresh(cpu)  # what was translated is from now on not written directly, and what was forgotten not found
    if address != 0 and cpu.origin != 0:
        link(cpu, Uop(address))
    cpu.origin = U64(0)
    return address


def attention(cpu):
    """Whether the next instruction must be run alone: interrupt shadow, single-step trap, RF, debug registers."""
    return cpu.shadow != 0 or (cpu.eflags & (F_TF | F_RF)) != 0 or (cpu.dr[7] & 0xFF) != 0


def alone(cpu, u):
    """Run one instruction alone, and what comes before and after it: debug exceptions, the end of shadow and RF."""
    shadow, flags = cpu.shadow, cpu.eflags
    if (cpu.dr[7] & 0xFF) != 0 and (flags & F_RF) == 0 and shadow != 2:
        hits = instruction_breakpoint(cpu, code_linear(cpu, cpu.rip))
        if hits != 0:
            cpu.pending_db = hits
            return U64(fault(cpu, DB, 0))
    cpu.shadow = U8(0)
    cpu.eflags = flags & ~U64(F_RF)
    cpu.data_hits = U64(0)
    held = cpu.pending_db
    if (flags & F_TF) != 0:
        cpu.pending_db = held | DB_SINGLE_STEP  # before it runs: INT n takes it back
    status = U64(part(cpu, u, U64(1)))
    if status == FAULT and cpu.vector == SLOW:
        status = U64(slow_step(cpu))
    if not happened(status) and cpu.slow != COMMITTING:
        cpu.shadow = shadow
        cpu.eflags = cpu.eflags | (flags & F_RF)
        if (held & DB_SINGLE_STEP) == 0:
            cpu.pending_db = cpu.pending_db & ~U64(DB_SINGLE_STEP)
        return status
    if status == REPEAT or (status == EXIT and cpu.value_after == REPEAT):
        cpu.eflags = cpu.eflags | (flags & F_RF)
    cpu.pending_db = cpu.pending_db | cpu.data_hits
    if cpu.shadow == 2:  # MOV SS and POP SS suppress the trap after themselves: it is lost (SDM vol. 3, 6.8.3)
        cpu.pending_db = cpu.pending_db & ~U64(DB_SINGLE_STEP)
    return status


def onward(cpu, u):
    """Run from u on as far as the budget allows."""
    if enter(cpu, u):
        status = U64(execute(cpu, u))
    else:
        status = U64(part(cpu, u, cpu.budget))
    if status == FAULT and cpu.vector == SLOW:
        return U64(slow_step(cpu))
    return status


def run(cpu):
    """Run until the budget is spent or Python is needed; budget and rip are exact on return.  Returns a status."""
    first = cpu.resume != 0
    cpu.resume = U64(0)
    cpu.origin = U64(0)
    refresh(cpu)
    while True:
        status = U64(NEXT)
        if cpu.slow == COMMITTING:
            if commit(cpu) == EXIT:
                return U64(EXIT)
            cpu.slow = U64(0)
            refresh(cpu)
            if cpu.value_after == HALT:
                return U64(HALT)
            first = False
            cpu.let_pass, cpu.stopped = U64(0), U64(0)
        if cpu.watching != 0 and not in_flight(cpu):
            if cpu.watch_hit != 0:
                return U64(WATCHED)
            if (cpu.watching & MODES) != 0 and mode_changed(cpu):
                return U64(MODE)
        if negative(cpu.pending):
            return U64(PENDING)
        if cpu.yields != 0:
            return U64(YIELD)
        if cpu.budget == 0:
            return U64(BUDGET)
        if cpu.pending_db != 0 and cpu.shadow != 2 and not in_flight(cpu):
            cpu.vector = U64(DB)
            if intercepted(cpu) and not (first and cpu.budget == cpu.slice):
                cpu.error_code, cpu.has_error = U64(0), U64(0)
                return U64(INTERCEPT)
            status = debug_trap(cpu)
            if status != CHECK:
                return status
            continue
        if (cpu.inject != 0 or cpu.nmi != 0 or cpu.intr != 0) and not in_flight(cpu):
            status = external(cpu, first and cpu.budget == cpu.slice)
            if status == CHECK:
                continue
            if status != NEXT:
                return status
        address = U64(0) if cpu.late_fault != 0 else find(cpu)
        if address == 0:
            status = U64(FAULT)
        else:
            u = Uop(address)
            if u.trap == BREAKPOINT and not first:
                return U64(BREAK)
            if attention(cpu):
                status = U64(alone(cpu, u))
            else:
                status = U64(onward(cpu, u))
        if status == HALT and cpu.pending_db != 0:
            status = U64(END)
        if status == FAULT:
            if cpu.late_fault != 0:
                cpu.rip, cpu.fault_address = cpu.late_rip, cpu.late_address
                cpu.vector, cpu.error_code, cpu.has_error = cpu.late_vector, cpu.late_error, cpu.late_has_error
            fresh = first and cpu.budget == cpu.slice
            if (cpu.vector & SOFTWARE) != 0 and cpu.vector < 0x200:
                if not fresh:
                    return U64(INTERCEPT)
                cpu.let_pass = U64(1)
                continue
            if intercepted(cpu) and not (fresh and (cpu.let_pass == 0 or cpu.stopped == cpu.vector)):
                cpu.stopped = cpu.vector
                return U64(INTERCEPT)
            status = raise_fault(cpu)
            if status != CHECK:
                return status
        elif status == END or status == BRANCH:
            cpu.latched = U64(0)
            refresh(cpu)
        elif status == REPEAT:
            cpu.latched = U64(0)
            if cpu.flush_epoch != Shared(cpu.shared).flush_epoch:
                refresh(cpu)
        elif status == HALT or status == EXIT or status == ASSIST:
            return status
        first = False
        cpu.let_pass, cpu.stopped = U64(0), U64(0)


def go(cpu, budget, resume):
    """One entry of the engine from Python: at most `budget` steps (below 2**32), accounted for.  Returns steps << 8 | status.

    A vCPU that waits makes no step: the status is BUDGET.
    """
    if cpu.activity != 0:
        return U64(BUDGET)
    cpu.budget, cpu.slice = budget, budget
    cpu.resume = U64(resume != 0 or in_flight(cpu))
    events = cpu.events
    status = run(cpu)
    done = budget - cpu.budget
    cpu.instructions = cpu.instructions + done - (cpu.events - events)
    cpu.clock = cpu.clock + done
    return (done << 8) | status


def steps(cpu, n):
    """n runs of one step each, as a native tracer would do; returns the status that ended them."""
    status = U64(BUDGET)
    while n != 0 and status == BUDGET:
        cpu.budget, cpu.slice = U64(1), U64(1)
        cpu.resume = U64(1)
        status = run(cpu)
        n = n - 1
    return status
