"""The plain engine: the same uops, meanings and driver as the threaded one, run by Python as they are written.

Slow (tens of thousands of instructions a second) and free of LLVM: the double that the compiled engine is compared with.
A handler's address is here the number of a kind.  The glue below does what glue.py makes LLVM do.
"""

import ctypes
import importlib
import inspect
import pkgutil
from collections.abc import Callable

from isa.lang.struct import PLACES, Place
from isa.lang.word import U64
from vmdbg.machine import semantics
from vmdbg.machine.blocks import GOTO, STOP
from vmdbg.machine.faults import fault_gp0, fault_ud
from vmdbg.machine.kinds import DIRECT, EA, FLAT, GPR, IMM, INDIRECT, MEM, MMX, NUMBER, ONE, XMM, Kind, all_kinds
from vmdbg.machine.semantics.segments import protected_available, protected_umip_available, umip_available
from vmdbg.machine.semantics.sse_state import mmx_available, mmx_written, sse_available, sse_mmx_available
from vmdbg.machine.semantics.x87_state import x87_available, x87_control_available
from vmdbg.machine.state import BRANCH, FAULT, NEXT, Cpu, Uop
from vmdbg.machine.threaded import CHECK, UOP_SIZE, effective, enter, leave, lookup, operand, operand_flat

OFFSET = {name: at for name, (at, _word, _count) in Cpu.fields.items()}
FIELD = {name: at for name, (at, _word, _count) in Uop.fields.items()}
_constant = (ctypes.c_uint64 * 1)(1)
_effective = (ctypes.c_uint64 * 1)()


def meanings() -> dict[str, Callable]:
    """{name: function} of all meanings."""
    found = {}
    for m in pkgutil.iter_modules(semantics.__path__):
        module = importlib.import_module(f"{semantics.__name__}.{m.name}")
        for name, f in vars(module).items():
            if inspect.isfunction(f) and f.__module__ == module.__name__ and list(inspect.signature(f).parameters)[:2] == ["cpu", "u"]:
                found[name] = f
    return found


MEANINGS = meanings()
KINDS, _TABLE = all_kinds()
AVAILABLE = dict(
    sse=sse_available,
    mmx=mmx_available,
    sse_mmx=sse_mmx_available,
    x87=x87_available,
    x87_control=x87_control_available,
    protected=protected_available,
    protected_umip=protected_umip_available,
    umip=umip_available,
)


def place(cpu: Cpu, u: Uop, kind: Kind, k: int) -> Place | None:
    """Operand k of a uop; None: it cannot be reached, the fault is left."""
    spec = kind.places[k]
    make = PLACES[spec.bits]
    number = int((u.r0, u.r1, u.r2)[k]) if k < 3 else 0
    if spec.where == GPR:
        return make(int(cpu.address) + OFFSET["gpr"] + number, spec.bits == 32)
    if spec.where == NUMBER:
        return make(int(u.address) + FIELD[f"r{k}"])
    if spec.where == XMM:
        return make(int(cpu.address) + OFFSET["xmm"] + 16 * number)
    if spec.where == MMX:
        return make(int(cpu.address) + OFFSET["st"] + 16 * number)
    if spec.where == IMM:
        return make(int(u.address) + FIELD["imm"])
    if spec.where == EA:
        _effective[0] = int(effective(cpu, u))
        return make(ctypes.addressof(_effective))
    if spec.where == ONE:
        _constant[0] = 1
        return make(ctypes.addressof(_constant))
    assert spec.where == MEM
    reach = operand_flat if kind.shape == FLAT else operand
    host = reach(cpu, u, U64(spec.bits // 8), spec.writes, spec.reads, spec.aligned)
    return make(int(host)) if host != 0 else None


def perform(cpu: Cpu, u: Uop, kind: Kind) -> int:
    """What a kind's handler does before it goes on: its status."""
    if kind.unit and not AVAILABLE[kind.unit](cpu):
        return FAULT
    if kind.cpl0 and cpu.cpl != 0:
        return fault_gp0(cpu)
    places = []
    for k in range(len(kind.places)):
        p = place(cpu, u, kind, k)
        if p is None:
            return FAULT
        places.append(p)
    if kind.string_bits:
        places.append(kind.string_bits)
    if kind.cc is not None:
        places.append(kind.cc)
    if kind.sem not in MEANINGS:
        return fault_ud(cpu)
    written = [k for k, p in enumerate(kind.places) if p.where == MMX and p.writes]
    if kind.unit == "sse_mmx":
        mmx_written(cpu, U64(8))
    status = MEANINGS[kind.sem](cpu, u, *places)
    if status == NEXT and (written or (kind.unit == "mmx" and kind.sem != "emms")):
        mmx_written(cpu, U64((u.r0, u.r1, u.r2)[written[0]] if written else 8))
    return status


def execute(cpu: Cpu, u: Uop) -> U64:
    """Run from u until a status ends it, as the handlers do."""
    while True:
        handler = int(u.handler)
        status, kind = NEXT, None
        if handler == STOP:
            cpu.rip = u.after
            return U64(CHECK)
        if handler != GOTO:
            kind = KINDS[handler - 2]
            status = perform(cpu, u, kind)
        if kind is not None and kind.sem in INDIRECT and status == BRANCH:
            to = Uop(lookup(cpu))
        elif kind is not None and kind.sem in DIRECT and status == BRANCH:
            to = Uop(u.taken)
        elif kind is None or (kind.sem in DIRECT and status == NEXT):
            cpu.rip = u.after
            to = Uop(u.fall)
        elif status == NEXT:
            u = Uop(u.address + UOP_SIZE)
            continue
        else:
            return leave(cpu, u, U64(status))
        if not enter(cpu, to):
            if kind is None or kind.sem in DIRECT:
                cpu.origin = u.address
            return U64(CHECK)
        u = to
