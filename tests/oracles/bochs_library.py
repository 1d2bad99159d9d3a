"""bochscpu-python, made to load and to run one instruction at a time without Python in between.

A shared library, assembled here and loaded with its symbols global before bochscpu, defines

* `__isoc23_strtoull` and kin as jumps to the functions without the prefix: bochscpu-python 0.4.0 was built against a C library
  newer than 2.36;
* Bochs's instrumentation functions `bx_instr_*`. Bochs calls them through its own import table, so these definitions win over the
  ones in bochscpu (which call hooks in Rust, then in Python). They count and note what happened in `Notes`, and leave Bochs's loop
  by `cpu_bail`, its own longjmp.

`cpu_loop(0)` is then a plain C call that returns after one instruction, a fault, or what `Notes.mode` says.
"""

import ctypes
import functools
import importlib.util
import os
import sys

from . import elf
from .trampoline import Code

# What `Notes.events` holds besides vectors.
INTERRUPT, HALTED, WAITING, MISSING, PORT = 0x100, 0x200, 0x300, 0x400, 0x500
# Notes.mode
REPORT, DELIVER = 0, 1  # stop before an exception is delivered (and after any instruction), or before the handler's first instruction

_STRANGERS = ("sscanf", "strtoull", "strtoul", "strtoll", "strtol", "fscanf", "vsscanf")
# What the C++ names of bx_devices_c::inp and outp are: there are no devices.
_INP, _OUTP = "_ZN12bx_devices_c3inpEtj", "_ZN12bx_devices_c4outpEtjj"
_IGNORED = """reset initialize exit init_env exit_env cnear_branch_taken cnear_branch_not_taken ucnear_branch far_branch opcode
    hwinterrupt tlb_cntrl cache_cntrl prefetch_hint clflush repeat_iteration inp inp2 outp lin_access phy_access wrmsr vmexit""".split()


# bx_simulator_interface_c: how many methods are copied (more than it has of interest), and which one get_param_bool is.
_METHODS, _GET_PARAM_BOOL = 128, 10
_keep: list = []


class Event(ctypes.Structure):
    _fields_ = [("vector", ctypes.c_uint32), ("error_code", ctypes.c_uint32)]


class Notes(ctypes.Structure):
    """What the machine code notes; its first two words are addresses that Python fills in."""

    _fields_ = [
        ("set_killbit", ctypes.c_uint64),
        ("bail", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("started", ctypes.c_uint64),  # instructions begun
        ("done", ctypes.c_uint64),  # instructions completed
        ("missing", ctypes.c_uint64),  # physical address that nothing is mapped at
        ("count", ctypes.c_uint64),
        ("events", Event * 8),
    ]


def _library() -> bytes:
    c = Code(elf.PAGE)
    notes = elf.PAGE + 0x800
    slots = notes + ctypes.sizeof(Notes)
    symbols, imports = {"oracle_notes": notes}, {}

    def field(name):
        return notes + getattr(Notes, name).offset

    def define(name):
        c.label(name)
        symbols[name] = c.labels[name]

    for n, name in enumerate(_STRANGERS):
        define(f"__isoc23_{name}")
        c.at("FF 25", slots + 8 * n)  # jmp [slot]
        imports[slots + 8 * n] = name
    c.label("stop")
    c("48 83 E4 F0")  # and rsp, -16: nothing below is needed again
    c("31 FF")  # xor edi, edi: CPU 0
    c.at("FF 15", field("set_killbit"))  # call: cpu_loop will return
    c("31 FF")
    c.at("FF 15", field("bail"))  # call: longjmp, does not return
    define("bx_instr_before_execution")
    c.at("48 FF 05", field("started"))  # inc
    c.at("48 83 3D", field("started"), b"\x02")  # cmp started, 2
    c.jump("0F 83", "stop")  # jae
    c("C3")
    define("bx_instr_after_execution")
    c.at("48 FF 05", field("done"))
    c.at("48 83 3D", field("mode"), b"\x00")
    c.jump("0F 84", "stop")  # je
    c("C3")
    define("bx_instr_exception")  # (cpu, vector, error code)
    c.label("note")
    c.at("48 8B 05", field("count"))  # mov rax, count
    c("48 83 F8 03")  # cmp rax, 3
    c.jump("0F 83", "stop")  # jae
    c.at("48 8D 0D", field("events"))  # lea rcx, events
    c("89 34 C1")  # mov [rcx + 8 rax], esi
    c("89 54 C1 04")  # mov [rcx + 8 rax + 4], edx
    c.at("48 FF 05", field("count"))
    c.at("48 83 3D", field("mode"), b"\x00")
    c.jump("0F 84", "stop")
    c("48 83 F8 02")  # the third one in a row: a triple fault is next
    c.jump("0F 83", "stop")
    c("C3")
    define("bx_instr_interrupt")  # (cpu, vector): delivered exceptions too
    c.at("48 83 3D", field("mode"), b"\x00")
    c("74 01 C3")  # je over ret
    c("81 CE 00 01 00 00")  # or esi, INTERRUPT
    c("31 D2")
    c.jump("E9", "note")
    for name, kind in (("bx_instr_hlt", HALTED), ("bx_instr_mwait", WAITING), (_INP, PORT), (_OUTP, PORT)):
        define(name)
        c("BE", kind.to_bytes(4, "little"))
        c("31 D2")
        c.jump("E8", "note")
        c.jump("E9", "stop")
    define("oracle_missing")  # (physical address)
    c.at("48 89 3D", field("missing"))
    c("BE", MISSING.to_bytes(4, "little"))
    c("31 D2")
    c.jump("E8", "note")
    c.jump("E9", "stop")
    for name in _IGNORED:
        if f"bx_instr_{name}" not in symbols:
            define(f"bx_instr_{name}")
            c("C3")
    define("oracle_parameter")  # Bochs asks its absent configuration for a flag: an object whose every method returns 0
    c.at("48 8D 05", slots + 8 * len(_STRANGERS))  # lea rax, object
    c("C3")
    define("oracle_zero")
    c("31 C0 C3")  # xor eax, eax; ret
    symbols["oracle_object"] = slots + 8 * len(_STRANGERS)
    code = c.done()
    assert len(code) <= 0x800
    return elf.library(code + bytes(slots + 8 * len(_STRANGERS) + 8 * 33 - elf.PAGE - len(code)), symbols, imports)


@functools.cache
def unavailable() -> str | None:
    """Why Bochs cannot be an oracle here, or None."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "bochscpu is loaded on Linux on x86-64 only"
    if importlib.util.find_spec("bochscpu") is None:
        return "bochscpu-python is not installed"
    return None


def _configure(hooks: ctypes.CDLL, bochs: ctypes.CDLL) -> None:
    """Answer "no" to what Bochs asks its configuration at run time (allow_io asks whether port E9 is open to all rings): the package
    has none, and the pointer it gets is null."""
    address = {name: ctypes.cast(getattr(hooks, f"oracle_{name}"), ctypes.c_void_p).value for name in ("parameter", "zero", "object")}
    words = (ctypes.c_uint64 * 33).from_address(address["object"])
    words[0] = address["object"] + 8  # its table of methods, right behind it
    words[1:] = [address["zero"]] * 32
    simulator = ctypes.c_uint64.in_dll(bochs, "SIM").value
    table = ctypes.c_uint64.from_address(simulator)
    methods = (ctypes.c_uint64 * _METHODS)(*(ctypes.c_uint64 * _METHODS).from_address(table.value))
    methods[_GET_PARAM_BOOL] = address["parameter"]
    _keep.append(methods)
    table.value = ctypes.addressof(methods)


@functools.cache
def load() -> tuple[ctypes.CDLL, Notes]:
    """bochscpu's C functions, and the notes; its one CPU is made and reset."""
    file = os.memfd_create("hooks")
    os.write(file, _library())
    path = f"/proc/self/fd/{file}"
    hooks = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    import bochscpu._bochscpu as extension

    bochs = ctypes.CDLL(extension.__file__)
    notes = Notes.in_dll(hooks, "oracle_notes")
    notes.set_killbit = ctypes.cast(bochs.cpu_set_killbit, ctypes.c_void_p).value
    notes.bail = ctypes.cast(bochs.cpu_bail, ctypes.c_void_p).value
    bochs.bochscpu_mem_missing_page(hooks.oracle_missing)
    _configure(hooks, bochs)
    bochs.cpu_new(0)
    os.close(file)
    return bochs, notes
