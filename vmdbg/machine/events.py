"""Delivery of events: exceptions, interrupts, NMI; from a fault during delivery to #DF and shutdown.

A first event and the faults that its delivery raises are a chain, kept in cpu.chain_* for whoever asks why the CPU
shut down.  SDM vol. 3, chapter 6; classes and double faults: 6.15, interrupt 8.

Benign exceptions may raise each other for ever (#AC on a stack that is not aligned: CVE-2015-5307): where the chain is full, the CPU
shuts down, while a real one hangs.
"""

from isa.lang.word import U8, U64, outlined
from vmdbg.machine.debug import DB_SINGLE_STEP
from vmdbg.machine.descriptor import long_mode
from vmdbg.machine.gates import (
    EXCEPTION,
    NMI_EVENT,
    PRIVILEGED_SOFTWARE,
    SOFTWARE_INTERRUPT,
    is_software,
    long_gate,
    protected_gate,
    real_interrupt,
    v86_interrupt,
)
from vmdbg.machine.reset import ACTIVE, SHUTDOWN
from vmdbg.machine.slots import DELIVERING, begin
from vmdbg.machine.state import (
    BRANCH,
    CR0_PE,
    DB,
    DE,
    DF,
    EXIT,
    F_VM,
    FAULT,
    GP,
    NEXT,
    NP,
    PF,
    SS_FAULT,
    TS,
    X_SHUTDOWN,
)
from vmdbg.machine.task import LATE

BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT = 0, 1, 2, 3
CHAIN = 8  # entries of cpu.chain_*
DR7_GD = 0x2000
SOFTWARE = 0x100  # in cpu.vector: INT n, INT3, INTO, INT1 is about to be delivered, not an exception


def fault_class(vector, kind):
    """The class of an event (SDM vol. 3, table 6-4); only exceptions are more than benign."""
    if kind != EXCEPTION:
        return BENIGN
    if vector == PF:
        return PAGE_FAULT
    if vector == DF:
        return DOUBLE_FAULT
    if (vector == DE) | (vector == TS) | (vector == NP) | (vector == SS_FAULT) | (vector == GP):
        return CONTRIBUTORY
    return BENIGN


def is_double(first, second):
    """Whether a fault of class `second` while one of class `first` is delivered makes a double fault (SDM vol. 3, table 6-5)."""
    if first == CONTRIBUTORY:
        return second == CONTRIBUTORY
    if first == PAGE_FAULT:
        return (second == CONTRIBUTORY) | (second == PAGE_FAULT)
    return False


def enter_handler(cpu, vector, kind, error_code, has_error, return_rip):
    """One attempt at entering the handler of a vector: BRANCH or FAULT, EXT set in the error code where it belongs."""
    status = NEXT
    if (cpu.cr0 & CR0_PE) == 0:
        status = real_interrupt(cpu, vector, return_rip)
    elif long_mode(cpu):
        status = long_gate(cpu, vector, kind, error_code, has_error, return_rip)
    else:
        if (cpu.eflags & F_VM) != 0 and kind == SOFTWARE_INTERRUPT:
            status = v86_interrupt(cpu, vector, return_rip)
        if status == NEXT:
            status = protected_gate(cpu, vector, kind, error_code, has_error, return_rip)
    if status == FAULT and not is_software(kind):
        v = cpu.vector
        if (v == TS) | (v == NP) | (v == SS_FAULT) | (v == GP):
            cpu.error_code = cpu.error_code | 1
    if status == BRANCH:
        cpu.deliveries[vector & 0xFF] = cpu.deliveries[vector & 0xFF] + 1
        cpu.shadow = U8(0)
        cpu.activity = U64(ACTIVE)
        if kind == NMI_EVENT:
            cpu.nmi_blocked = U8(1)
        if is_software(kind) or kind == PRIVILEGED_SOFTWARE:
            cpu.pending_db = cpu.pending_db & ~U64(DB_SINGLE_STEP)  # TF is cleared before the trap (SDM vol. 3, 17.3.1.4)
    return status


def chain_add(cpu, vector, error_code, return_rip):
    n = cpu.chain_length
    if n < CHAIN:
        cpu.chain_vector[n] = vector
        cpu.chain_error[n] = error_code
        cpu.chain_address[n] = cpu.fault_address if vector == PF else U64(0)
        cpu.chain_rip[n] = return_rip
        cpu.chain_length = n + 1


def before_exception(cpu, vector):
    """What an exception changes besides control flow: CR2; DR6 and DR7.GD."""
    if vector == PF:
        cpu.cr2 = cpu.fault_address
    if vector == DB:
        cpu.dr[6] = (cpu.dr[6] & ~U64(0xF)) | cpu.pending_db
        cpu.dr[7] = cpu.dr[7] & ~U64(DR7_GD)


def shutdown(cpu):
    """The triple fault: cpu.chain_* says why."""
    cpu.activity = U64(SHUTDOWN)
    cpu.reason = U64(X_SHUTDOWN)
    return EXIT


def stops_here(cpu, vector):
    """Whether somebody wants to see a software interrupt before it is delivered: cpu.vector is then SOFTWARE | vector."""
    wanted = ((cpu.intercept[vector >> 6] >> (vector & 63)) & 1) != 0
    if wanted and cpu.let_pass == 0:
        cpu.vector = SOFTWARE | vector
        cpu.error_code, cpu.has_error = U64(0), U64(0)
        return True
    return False


@outlined
def deliver(cpu, vector, kind, error_code, has_error, return_rip):
    """Deliver an event; vector, kind (EXTERNAL .. of gates.py), error_code, has_error and return_rip are U64.

    BRANCH: cpu.rip is the handler's.  EXIT: shutdown.  FAULT:
    * cpu.vector is no vector (SLOW or the like): nothing happened, call again with the same arguments;
    * for the software kinds: the instruction faults (its own address is where the fault is reported);
    * cpu.late_fault is set: a task switch was done and the fault is the new task's: deliver it as an EXCEPTION (return_rip
      is then taken from cpu.late_rip).
    cpu.fault_address must be right for #PF, cpu.pending_db (bits of DR6; cleared on delivery) for #DB.
    A fault that interrupts REP is to be announced by setting RF in cpu.eflags before.
    """
    error = has_error != 0
    if is_software(kind) or kind == PRIVILEGED_SOFTWARE:
        if stops_here(cpu, vector):
            return FAULT
        cpu.chain_length = U64(0)
        return enter_handler(cpu, vector, kind, error_code, error, return_rip)
    first = BENIGN
    cpu.chain_length = U64(0)
    if cpu.late_fault >= LATE:
        cpu.late_fault = U64(1)
    if cpu.late_fault != 0:
        return_rip = cpu.late_rip
        cpu.rip = return_rip
        cpu.chain_length = cpu.late_fault - 1
        if cpu.chain_length != 0:
            first = fault_class(cpu.chain_vector[cpu.chain_length - 1], U64(EXCEPTION))
    chain_add(cpu, vector, error_code, return_rip)
    second = fault_class(vector, kind)
    while True:
        if first == DOUBLE_FAULT and second != BENIGN:
            return shutdown(cpu)
        if is_double(first, second):
            before_exception(cpu, vector)
            vector = U64(DF)
            error_code = U64(0)
            error = True
            kind = U64(EXCEPTION)
            second = DOUBLE_FAULT
            chain_add(cpu, vector, error_code, return_rip)
        if kind == EXCEPTION:
            before_exception(cpu, vector)
        status = enter_handler(cpu, vector, kind, error_code, error, return_rip)
        if status == BRANCH:
            cpu.late_fault = U64(0)
            if kind == EXCEPTION and vector == DB:
                cpu.pending_db = U64(0)
            return BRANCH
        if cpu.vector >= 32:
            return FAULT
        if cpu.slow == DELIVERING:
            begin(cpu)  # what this attempt would have written is not
        if cpu.late_fault >= LATE:
            cpu.late_fault = cpu.chain_length + 1
            return FAULT
        if cpu.chain_length == CHAIN:
            return shutdown(cpu)
        first = second
        vector = cpu.vector
        kind = U64(EXCEPTION)
        error_code = cpu.error_code
        error = cpu.has_error != 0
        second = fault_class(vector, kind)
        chain_add(cpu, vector, error_code, return_rip)
