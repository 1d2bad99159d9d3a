"""Bochs (bochscpu-python) as an oracle: one instruction from a state of system.SYSTEM, in any mode.

Two modes: REPORT stops before an exception or a software interrupt is delivered and says which (registers as they were before the
instruction); DELIVER lets it be delivered, so that the result shows gates, stacks and tables after it.

Fields of Bochs's CPU object that its C interface cannot set (the FPU's top of stack) or sets slowly are written in place: their
offsets are found at start by setting recognisable values.
"""

import ctypes
import functools
import mmap
import struct

import numpy as np

from . import bochs_library
from .bochs_library import DELIVER, REPORT
from .layout import (
    CODE,
    CODE_SIZE,
    HAS_ERROR_CODE,
    INT3,
    NONE,
    PAGE,
    PF_FAULT,
    READ_ONLY,
    READ_ONLY_IMAGE,
    RESULT,
    RSP,
    TF,
    WINDOW,
    WINDOW_SIZE,
)
from .system import (
    CS,
    FS,
    GS,
    HALTED,
    KINDS,
    LDTR,
    MISSING,
    PAGING,
    PAGING_SIZE,
    PORT,
    SOFTWARE_INTERRUPT,
    SYSTEM_RESULT,
    TABLES,
    TABLES_SIZE,
    TR,
    TRIPLE_FAULT,
    UNUSABLE,
    WAITING,
    Kind,
    flat,
    paging,
)

_U64, _U32, _U16 = ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint16
_OF_BOCHS = {bochs_library.HALTED: HALTED, bochs_library.WAITING: WAITING, bochs_library.MISSING: MISSING, bochs_library.PORT: PORT}
_TRAPS = (3, 4)  # the saved RIP is the next instruction's
# Our register: the C interface's name and, for the setter, the C type.
_REGISTERS = {
    "cr0": ("cr0", _U32), "cr2": ("cr2", _U64), "cr3": ("cr3", _U64), "cr4": ("cr4", _U64), "efer": ("efer", _U32), "xcr0": ("xcr0", _U32),
    "star": ("star", _U64), "lstar": ("lstar", _U64), "cstar": ("cstar", _U64), "sfmask": ("fmask", _U32),
    "kernel_gs_base": ("kernel_gs_base", _U64), "sysenter_cs": ("sysenter_cs", _U32), "sysenter_esp": ("sysenter_esp", _U64),
    "sysenter_eip": ("sysenter_eip", _U64), "tsc_aux": ("tsc_aux", _U32),
}  # fmt: skip
_FORCE_FLAGS, _FLUSH_CODE = "_ZN8BX_CPU_C11force_flagsEv", "_Z12flushICachesv"
_FPU_MODE = "_ZN8BX_CPU_C22handleFpuMmxModeChangeEv"  # what CR0.EM and TS mean for the FPU; cpu_set_mode leaves it out


def unavailable() -> str | None:
    """Why not, or None."""
    return bochs_library.unavailable()


class Bochs:
    """The one CPU of a bochscpu library, with the memory map of system.py."""

    def __init__(self):
        self._bochs, self._notes = bochs_library.load()
        b = self._bochs
        for name in ("pc", "reg64", "eflags", "dr", "dr6", "dr7", "mxcsr", *(n for n, _ in _REGISTERS.values())):
            getattr(b, f"cpu_get_{name}").restype = _U64 if name in ("pc", "reg64", "dr") else dict(_REGISTERS.values()).get(name, _U32)
        getattr(b, _FORCE_FLAGS).restype = _U32
        self._object = ctypes.addressof(ctypes.c_char.in_dll(b, "bx_cpu"))
        self._find()
        self._window = self._pages(WINDOW, WINDOW_SIZE)
        self._tables = self._pages(TABLES, TABLES_SIZE)
        self._paging = self._pages(PAGING, PAGING_SIZE)
        self._code = self._pages(CODE, CODE_SIZE)
        self._read_only = self._pages(READ_ONLY, PAGE)
        self._read_only[:] = READ_ONLY_IMAGE
        self._image = {}

    def _find(self) -> None:
        """The offsets of registers in the CPU object."""
        b, memory = self._bochs, (ctypes.c_ubyte * 0x10000).from_address(self._object)
        words = (0xA5B6, 0xC7D8, 0xE9FA, 0x0B1C)
        for name, word in zip(("cw", "sw", "tw", "op"), words):
            getattr(b, f"cpu_set_fp_{name}")(0, word)
        b.cpu_set_fp_st(0, 0, _U64(0x1122334455667788), 0x19AA)
        marks = [0x0123456789AB0000 + n for n in range(16)]
        for n, mark in enumerate(marks):
            b.cpu_set_reg64(0, n, _U64(mark))
        vector = (_U64 * 8)(*[0xABCDEF0123456700 + n for n in range(8)])
        b.cpu_set_zmm(0, 0, vector)
        raw = bytes(memory)
        gpr, fpu = raw.find(struct.pack("<16Q", *marks)), raw.find(struct.pack("<4H", *words))
        st, xmm = raw.find(struct.pack("<QH", 0x1122334455667788, 0x19AA)), raw.find(bytes(vector)[:16])
        if min(gpr, fpu, st, xmm) < 0:
            raise RuntimeError("this bochscpu keeps its registers otherwise than version 0.4.0")
        stride = 64 if raw[xmm : xmm + 64] == bytes(vector) else 32
        view = np.frombuffer(memory, np.uint8)
        self._gpr = view[gpr : gpr + 128].view("<u8")
        self._control = view[fpu : fpu + 8].view("<u2")  # cw sw tw op
        self._pointers = view[fpu + 8 : fpu + 24].view("<u8")  # last instruction's and operand's address, then their selectors
        self._selectors = view[fpu + 24 : fpu + 28].view("<u2")
        self._st = view[st : st + 128].reshape(8, 16)
        self._top = view[st + 128 : st + 129]
        self._xmm = view[xmm : xmm + 16 * stride].reshape(16, stride)[:, :16]

    def _pages(self, address: int, size: int) -> np.ndarray:
        array = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        for offset in range(0, size, PAGE):
            self._bochs.bochscpu_mem_page_insert(_U64(address + offset), _U64(array.ctypes.data + offset))
        return array

    def _load(self, s: np.ndarray) -> None:
        b = self._bochs
        self._window[:], self._tables[:] = s["window"], s["tables"]
        for name, (theirs, kind) in _REGISTERS.items():
            getattr(b, f"cpu_set_{theirs}")(0, kind(int(s[name])))
        b.cpu_set_cr8(0, _U32(int(s["cr8"])))
        b.cpu_set_eflags(0, _U32(int(s["rflags"])))
        for number, segment in enumerate(s["segment"].tolist()):
            selector, attributes, limit, base = segment
            arguments = (_U32(not attributes & UNUSABLE), _U16(selector), _U64(base), _U32(limit), _U16(attributes & 0xF0FF))
            if number < LDTR:
                b.cpu_set_seg(0, number, *arguments)
            else:
                (b.cpu_set_ldtr if number == LDTR else b.cpu_set_tr)(0, *arguments)
        b.cpu_set_gdtr(0, _U64(int(s["gdtr_base"])), _U16(int(s["gdtr_limit"])))
        b.cpu_set_idtr(0, _U64(int(s["idtr_base"])), _U16(int(s["idtr_limit"])))
        for n in range(4):
            b.cpu_set_dr(0, n, _U64(int(s["dr"][n])))
        b.cpu_set_dr6(0, _U32(int(s["dr"][6])))
        b.cpu_set_dr7(0, _U32(int(s["dr"][7])))
        self._gpr[:] = s["gpr"]
        b.cpu_set_sp(0, _U64(int(s["gpr"][RSP])))
        b.cpu_set_pc(0, _U64(int(s["rip"])))
        fx = s["fx"]
        top = int(fx["fsw"]) >> 11 & 7
        self._control[0], self._control[1], self._control[3] = int(fx["fcw"]), int(fx["fsw"]) & 0xC7FF, int(fx["fop"])
        self._control[2] = _full_tags(int(fx["ftw"]), top, fx["st"])
        self._pointers[0], self._pointers[1], self._selectors[:] = int(fx["fip"]), int(fx["fdp"]), 0
        self._st[(np.arange(8) + top) & 7, :10] = fx["st"][:, :10]
        self._top[0] = top
        self._xmm[:] = fx["xmm"]
        b.cpu_set_mxcsr(0, _U32(int(fx["mxcsr"])))
        b.cpu_set_mxcsr_mask(0, _U32(0xFFFF))
        b.cpu_set_mode(0)
        getattr(b, _FPU_MODE)(_U64(self._object))

    def _store(self, r: np.ndarray) -> None:
        b = self._bochs
        r["window"], r["tables"] = self._window, self._tables
        for name, (theirs, _) in _REGISTERS.items():
            r[name] = getattr(b, f"cpu_get_{theirs}")(0)
        r["cr8"] = b.cpu_get_cr8(0)
        r["rflags"] = getattr(b, _FORCE_FLAGS)(_U64(self._object))
        present, selector, base, limit, attributes = _U32(), _U16(), _U64(), _U32(), _U16()
        out = [ctypes.byref(v) for v in (present, selector, base, limit, attributes)]
        for number in range(8):
            if number < LDTR:
                b.cpu_get_seg(0, number, *out)
            else:
                (b.cpu_get_ldtr if number == LDTR else b.cpu_get_tr)(0, *out)
            word = attributes.value & 0xF0FF | (0 if present.value else UNUSABLE)
            r["segment"][number] = (selector.value, word, limit.value, base.value)
        for name in ("gdtr", "idtr"):
            getattr(b, f"cpu_get_{name}")(0, out[2], out[1])
            r[f"{name}_base"], r[f"{name}_limit"] = base.value, selector.value
        r["dr"][:4] = [b.cpu_get_dr(0, n) for n in range(4)]
        r["dr"][6], r["dr"][7] = b.cpu_get_dr6(0), b.cpu_get_dr7(0)
        r["gpr"], r["rip"] = self._gpr, b.cpu_get_pc(0)
        fx, top = r["fx"], int(self._top[0])
        fx["fcw"], fx["fop"] = self._control[0], self._control[3]
        fx["fip"], fx["fdp"] = self._pointers
        fx["fsw"] = int(self._control[1]) & 0xC7FF | top << 11
        tags = int(self._control[2])
        fx["ftw"] = sum(1 << n for n in range(8) if tags >> 2 * n & 3 != 3)
        fx["st"][:, :10] = self._st[(np.arange(8) + top) & 7, :10]
        fx["xmm"], fx["mxcsr"] = self._xmm, b.cpu_get_mxcsr(0)
        r["fs_base"], r["gs_base"] = r["segment"]["base"][FS], r["segment"]["base"][GS]

    def run(self, states: np.ndarray, code: bytes, kind: Kind, mode: int = REPORT) -> np.ndarray:
        """Run `code` once from each of `states` (system.SYSTEM, all of one kind); an array of system.SYSTEM_RESULT."""
        start = int(states["rip"][0]) + int(states["segment"]["base"][0, CS]) * (kind.bits != 64)
        code_image = np.full(CODE_SIZE, INT3, np.uint8)
        code_image[start - CODE : start - CODE + len(code)] = np.frombuffer(code, np.uint8)
        image = self._image.setdefault(kind.name, paging(kind))
        getattr(self._bochs, _FLUSH_CODE)()
        results = np.zeros(len(states), SYSTEM_RESULT)
        for n in range(len(states)):
            self._paging[:], self._code[:] = image, code_image
            self._one(states[n], results[n], mode)
        return results

    def _one(self, state: np.ndarray, result: np.ndarray, mode: int) -> None:
        b, notes = self._bochs, self._notes
        self._load(state)
        notes.mode, notes.started, notes.done, notes.count = mode, 0, 0, 0
        b.cpu_clear_killbit(0)
        b.cpu_loop(0)
        self._store(result)
        self._outcome(result, state, mode)
        ended = result["vector"] in (HALTED, WAITING, MISSING) or result["vector"] >= SOFTWARE_INTERRUPT
        if notes.count > 1 or ended or int(result["rflags"]) & TF:
            b.cpu_new(0)  # an interrupted delivery, and a single step that is due, leave traces that cannot be set
            getattr(b, _FLUSH_CODE)()

    def begin(self, code: np.ndarray, kind: Kind) -> None:
        """Start a program: the image of the CODE region, and the kind's page tables."""
        self._code[:], self._paging[:] = code, paging(kind)

    def step(self, state: np.ndarray) -> np.ndarray:
        """One instruction of the program from `state`; memory outside the state is as the last step left it."""
        result = np.zeros(1, SYSTEM_RESULT)
        getattr(self._bochs, _FLUSH_CODE)()
        self._one(state, result[0], REPORT)
        return result[0]

    @property
    def code(self) -> np.ndarray:
        """The CODE region."""
        return self._code

    def _outcome(self, result: np.ndarray, state: np.ndarray, mode: int) -> None:
        notes = self._notes
        result["vector"] = NONE
        if not notes.count:
            return
        event = notes.events[0]
        for last in list(notes.events)[: notes.count]:
            if last.vector in _OF_BOCHS:
                result["vector"] = _OF_BOCHS[last.vector]
                if last.vector == bochs_library.MISSING and notes.done:
                    result["vector"] = NONE  # only the next instruction's fetch
                    break
                if last.vector == bochs_library.PORT:
                    result["rip"] = state["rip"]  # permitted; the device is not Bochs's affair
                return
        if mode == DELIVER:
            if notes.count > 2:
                result["vector"] = TRIPLE_FAULT
            return
        if event.vector >= bochs_library.INTERRUPT:
            result["vector"] = SOFTWARE_INTERRUPT + (event.vector & 0xFF)
            return
        vector = event.vector
        result["vector"] = vector
        result["error_code"] = event.error_code if vector in HAS_ERROR_CODE else 0
        if vector == PF_FAULT:
            result["fault_address"] = result["cr2"]
            result["cr2"] = state["cr2"]
        switched = result["segment"]["selector"][TR] != state["segment"]["selector"][TR]  # the fault is the new task's
        if vector not in _TRAPS and not switched:
            result["rip"] = state["rip"]
            result["gpr"][RSP] = state["gpr"][RSP]


def _full_tags(abridged: int, top: int, st: np.ndarray) -> int:
    """The two-bit tags of the x87 registers from FXSAVE's one-bit ones (SDM volume 1, 10.5.1.1)."""
    word = 0
    for n in range(8):
        if not abridged >> n & 1:
            word |= 3 << 2 * n
            continue
        value = st[(n - top) & 7]
        significand = int.from_bytes(value[:8].tobytes(), "little")
        exponent = int.from_bytes(value[8:10].tobytes(), "little") & 0x7FFF
        if exponent == 0 and significand == 0:
            word |= 1 << 2 * n
        elif exponent in (0, 0x7FFF) or not significand >> 63:
            word |= 2 << 2 * n
    return word


@functools.cache
def shared() -> Bochs:
    """The one oracle of a process."""
    return Bochs()


def run(states: np.ndarray, code: bytes, kind: Kind, mode: int = REPORT) -> np.ndarray:
    """`Bochs.run` on the shared oracle."""
    return shared().run(states, code, kind, mode)


def run_flat(states: np.ndarray, code: bytes, bits: int = 64) -> np.ndarray:
    """A stand-in for a CPU as layout.py describes it: user mode, 64-bit or 32-bit with flat segments."""
    kind = KINDS["long_ring3" if bits == 64 else "compatibility"]
    whole = flat(states, kind)
    found = run(whole, code, kind)
    results = np.zeros(len(states), RESULT)
    for name in RESULT.names:
        results[name] = found[name]
    interrupt = results["vector"] >= SOFTWARE_INTERRUPT
    results["vector"][interrupt] -= SOFTWARE_INTERRUPT
    return results
