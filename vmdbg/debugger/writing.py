"""What a user writes into a machine: registers by name, and memory.  Each is an input, like a key that is pressed.

    Session.write_register -> check_register -> History.give -> Session._apply -> put_register

What a CPU would refuse (reserved bits of CR0, PAE off in long mode, a selector of nothing) is refused before anything happens.
"""

from isa.lang.word import U16, U64
from vmdbg.debugger.registers import FLAGS, GENERAL, REGISTERS, SEGMENTS
from vmdbg.machine.control_registers import write_cr0, write_cr3, write_cr4, write_efer
from vmdbg.machine.descriptor import (
    descriptor_present,
    is_code,
    is_writable_data,
    put_null,
    put_real,
    put_segment,
    refresh_mode,
)
from vmdbg.machine.flags import get_rflags, set_rflags
from vmdbg.machine.machine import PAGE, Machine
from vmdbg.machine.state import CR0_PE, CS, END, F_VM, SS

SPACES = ("linear", "physical")
CONTROL = {"cr0": write_cr0, "cr3": write_cr3, "cr4": write_cr4, "efer": write_efer}
FLAG_BITS = 0x3F7FD7  # of RFLAGS
PARTS = {"flags": 0xFFFF, "eflags": 0xFFFFFFFF, "rflags": (1 << 64) - 1}
PLAIN = "cr2 cr8 gdtr_base gdtr_limit idtr_base idtr_limit star lstar cstar sfmask kernel_gs_base".split()
MOST = {"cr8": 15}
READ_ONLY = {"cpl": "it comes with CS", "xcr0": "XSETBV writes it", "ldtr": "LLDT writes it", "tr": "LTR writes it"}


class WriteError(Exception):
    """Something that cannot be written; the message is one sentence."""


# ---- registers


def check_register(machine: Machine, n: int, name: str, value: int) -> int:
    """The value as it can be written to a register of vCPU n, unsigned; WriteError if it cannot, and nothing has changed."""
    if name not in REGISTERS:
        raise WriteError(f"'{name}' is no register")
    if name in READ_ONLY:
        raise WriteError(f"{name} cannot be written: {READ_ONLY[name]}")
    bits = REGISTERS[name].bits
    if not -(1 << bits - 1) <= value < 1 << bits or value > MOST.get(name, value):
        raise WriteError(f"{value:#x} does not fit into {name}, which has {bits if name not in MOST else 4} bits")
    value &= (1 << bits) - 1
    before = machine.cpu_states[n].copy()
    try:
        put_register(machine, n, name, value)
    finally:
        machine.cpu_states[n] = before
        machine.pages_changed()
    return value


def put_register(machine: Machine, n: int, name: str, value: int) -> None:
    """WriteError if the CPU would refuse; what was changed by then is the caller's to undo."""
    cpu = machine.cpus[n]
    if not (_put_general(cpu, name, value) or _put_flags(cpu, name, value) or _put_segment(machine, n, name, value)):
        _put_other(cpu, name, value)
    machine.pages_changed()
    machine.devices_changed()


def _put_general(cpu, name: str, value: int) -> bool:
    if name in ("rip", "eip", "ip"):
        cpu.rip = value
        return True
    for n, whole in enumerate(GENERAL):
        if name not in _parts(whole, n):
            continue
        shift, bits = 8 * (name in ("ah", "ch", "dh", "bh")), REGISTERS[name].bits
        mask = (1 << 64) - 1 if bits >= 32 else (1 << bits) - 1 << shift  # 32 bits clear the upper ones (SDM vol. 1, 3.4.1.1)
        cpu.gpr[n] = int(cpu.gpr[n]) & ~mask & (1 << 64) - 1 | value << shift
        return True
    return False


def _parts(whole: str, n: int) -> tuple[str, ...]:
    if n >= 8:
        return whole, f"{whole}d", f"{whole}w", f"{whole}b"
    short = whole[1:]
    low = (f"{short[0]}l", f"{short[0]}h") if n < 4 else (f"{short}l",)
    return whole, f"e{short}", short, *low


def _put_flags(cpu, name: str, value: int) -> bool:
    old = int(get_rflags(cpu))
    if name in PARTS:
        new = old & ~PARTS[name] | value
    elif name in FLAGS:
        new = old & ~(1 << FLAGS[name]) | value << FLAGS[name]
    elif name == "iopl":
        new = old & ~0x3000 | value << 12
    else:
        return False
    if new & ~FLAG_BITS & ~2:
        raise WriteError(f"{new:#x} has bits that RFLAGS does not")
    if (new ^ old) & F_VM:
        raise WriteError("VM changes with IRET and with task switches only")
    set_rflags(cpu, U64(new))
    return True


def _put_segment(machine: Machine, n: int, name: str, value: int) -> bool:
    segment, _, part = name.partition("_")
    if segment not in SEGMENTS:
        return False
    cpu, seg = machine.cpus[n], SEGMENTS.index(segment)
    if part == "base":
        cpu.seg_base[seg] = value
    elif part == "limit":
        cpu.seg_limit[seg] = value
    elif not int(cpu.cr0) & CR0_PE or int(cpu.eflags) & F_VM:
        put_real(cpu, U64(seg), U64(value))
    elif seg == CS:
        raise WriteError("in protected mode CS changes with far transfers only")
    elif not value & 0xFFFC and seg != SS:
        put_null(cpu, U64(seg), U64(value))
    else:
        put_segment(cpu, U64(seg), U16(value), _descriptor(machine, n, value, seg == SS))
    if seg in (CS, SS):
        refresh_mode(cpu)
    return True


def _descriptor(machine: Machine, n: int, selector: int, stack: bool) -> U64:
    """That of a data segment."""
    cpu = machine.cpus[n]
    table, limit = int(cpu.gdtr_base), int(cpu.gdtr_limit)
    if selector & 4:
        ldtr = SEGMENTS.index("ldtr")
        table, limit = int(cpu.seg_base[ldtr]), int(cpu.seg_limit[ldtr])
    index = selector & 0xFFF8
    data = machine.read_linear(n, table + index, 8) if index + 7 <= limit else None
    if data is None:
        raise WriteError(f"selector {selector:#x} is not in its descriptor table")
    d = U64(int.from_bytes(data, "little"))
    good = is_writable_data(d) if stack else (int(d) >> 44 & 1 and (not is_code(d) or int(d) >> 41 & 1))
    if not good or not descriptor_present(d):
        raise WriteError(f"selector {selector:#x} is not that of a present {'stack' if stack else 'readable'} segment")
    return d


def _put_other(cpu, name: str, value: int) -> None:
    if name in CONTROL:
        if CONTROL[name](cpu, U64(value)) != END:
            raise WriteError(f"{name.upper()} cannot be {value:#x} now: the CPU would raise #GP(0)")
    elif name in ("dr4", "dr5"):
        raise WriteError(f"{name} is another name of dr{int(name[2]) + 2}")
    elif name.startswith("dr"):
        number = int(name[2])
        if number == 6:
            value = value & 0xE00F | 0xFFFF0FF0
        elif number == 7:
            value = value & 0xFFFF23FF | 0x400
        cpu.dr[number] = value
    elif name == "mxcsr":
        if value & ~0xFFFF:
            raise WriteError(f"{value:#x} has bits that MXCSR does not")
        cpu.mxcsr = value
    elif name in PLAIN:
        setattr(cpu, name, value)
    else:
        raise WriteError(f"{name} cannot be written")


# ---- memory


def check_memory(machine: Machine, n: int, address: int, data: bytes, space: str) -> None:
    """WriteError if any of it is not RAM, as vCPU n sees it."""
    if space not in SPACES:
        raise WriteError(f"expected one of {', '.join(SPACES)}, not '{space}'")
    for physical, piece in _pieces(machine, n, address, data, space):
        if physical is None:
            raise WriteError(f"no page is mapped for all of {address:#x} to {address + len(data) - 1:#x}")
        if physical + len(piece) > machine.memory_size:
            raise WriteError(f"physical {physical:#x} is not RAM")


def put_memory(machine: Machine, n: int, address: int, data: bytes, space: str) -> None:
    """Write bytes that check_memory has let pass; permissions do not matter, A and D bits stay."""
    for physical, piece in list(_pieces(machine, n, address, data, space)):
        if physical is not None:
            machine.write_physical(physical, piece)
    for cpu in machine.cpus:
        cpu.watch_hit = 0  # the guest did not write it


def _pieces(machine: Machine, n: int, address: int, data: bytes, space: str):
    """(physical address or None, bytes) page by page."""
    done = 0
    while done < len(data):
        at = address + done & (1 << 64) - 1
        count = min(len(data) - done, PAGE - at % PAGE)
        yield at if space == "physical" else machine.walk(n, at)[0], data[done : done + count]
        done += count
