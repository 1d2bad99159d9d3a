"""Unicorn (QEMU's translator) as a second opinion: one instruction from a state of layout.STATE, flat, without paging.

It knows no page tables here and runs at CPL 0, so privileged instructions do not fault, and a page fault is what its memory hook
reports: the error code is made up as user mode's (4, 6, 7 as the map of layout.py has it). For whole CPUs use Bochs.
Unlike the CPU it may have changed registers before a fault, so only vector, fault_address and rip of a fault are its own: the other
fields are the initial ones.
"""

import functools
import importlib.util

import numpy as np

from .layout import (
    BP,
    CODE,
    CODE_SIZE,
    GP,
    INT3,
    NONE,
    PAGE,
    PF_FAULT,
    READ_ONLY,
    READ_ONLY_IMAGE,
    RESULT,
    RF,
    UD,
    WINDOW,
    WINDOW_SIZE,
)


def unavailable() -> str | None:
    """Why not, or None."""
    return None if importlib.util.find_spec("unicorn") else "unicorn is not installed"


class Unicorn:
    """One emulator for one code size: 64, 32 or 16 (real mode, where only the lowest 64 KiB could be reached, is not offered)."""

    def __init__(self, bits: int):
        import unicorn
        from unicorn import x86_const as x

        if bits not in (32, 64):
            raise ValueError("Unicorn is an oracle for flat 32- and 64-bit code only")
        self.bits, self.error = bits, unicorn.UcError
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64 if bits == 64 else unicorn.UC_MODE_32)
        uc.mem_map(WINDOW, WINDOW_SIZE, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        uc.mem_map(READ_ONLY, PAGE, unicorn.UC_PROT_READ)
        uc.mem_map(CODE, CODE_SIZE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        uc.mem_write(READ_ONLY, READ_ONLY_IMAGE.tobytes())
        names = "AX CX DX BX SP BP SI DI".split()
        wide = "R" if bits == 64 else "E"
        self.gprs = [getattr(x, f"UC_X86_REG_{wide}{n}") for n in names]
        if bits == 64:
            self.gprs += [getattr(x, f"UC_X86_REG_R{n}") for n in range(8, 16)]
        self.ip, self.flags = getattr(x, f"UC_X86_REG_{wide}IP"), x.UC_X86_REG_EFLAGS
        self.bases = (x.UC_X86_REG_FS_BASE, x.UC_X86_REG_GS_BASE)
        self.fpu = (x.UC_X86_REG_FPCW, x.UC_X86_REG_FPSW, x.UC_X86_REG_FPTAG, x.UC_X86_REG_MXCSR)
        self.st = [getattr(x, f"UC_X86_REG_FP{n}") for n in range(8)]  # physical registers
        self.xmm = [getattr(x, f"UC_X86_REG_XMM{n}") for n in range(16 if bits == 64 else 8)]
        self.vector = self.error_code = self.address = None
        writes = (unicorn.UC_MEM_WRITE_UNMAPPED, unicorn.UC_MEM_WRITE_PROT)
        fetches = (unicorn.UC_MEM_FETCH_UNMAPPED, unicorn.UC_MEM_FETCH_PROT)

        def invalid(_uc, access, address, _size, _value, _data):
            if access not in fetches:
                code = 6 if access in writes else 4
                self.vector, self.address = PF_FAULT, address & ((1 << bits) - 1)
                self.error_code = code | (access == unicorn.UC_MEM_WRITE_PROT)
            return False

        def interrupt(_uc, number, _data):
            self.vector = number
            _uc.emu_stop()

        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, invalid)
        uc.hook_add(unicorn.UC_HOOK_INTR, interrupt)
        self.fresh = uc.context_save()
        self.invalid_instruction = unicorn.UC_ERR_INSN_INVALID
        self.exception = unicorn.UC_ERR_EXCEPTION

    def _load(self, s: np.ndarray) -> None:
        uc, fx = self.uc, s["fx"]
        uc.context_restore(self.fresh)  # forgets the exception of the run before
        uc.mem_write(WINDOW, s["window"].tobytes())
        for register, value in zip(self.gprs, s["gpr"].tolist()):
            uc.reg_write(register, value)
        uc.reg_write(self.flags, int(s["rflags"]))
        if self.bits == 64:
            for register, name in zip(self.bases, ("fs_base", "gs_base")):
                uc.reg_write(register, int(s[name]))
        top = int(fx["fsw"]) >> 11 & 7
        tags = sum((0 if int(fx["ftw"]) >> n & 1 else 3) << 2 * n for n in range(8))
        for register, value in zip(self.fpu, (fx["fcw"], fx["fsw"], tags, fx["mxcsr"])):
            uc.reg_write(register, int(value))
        for n in range(8):
            raw = fx["st"][n].tobytes()
            uc.reg_write(self.st[(n + top) & 7], (int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:10], "little")))
        for n, register in enumerate(self.xmm):
            uc.reg_write(register, int.from_bytes(fx["xmm"][n].tobytes(), "little"))

    def _store(self, r: np.ndarray) -> None:
        uc, fx = self.uc, r["fx"]
        r["window"] = np.frombuffer(bytes(uc.mem_read(WINDOW, WINDOW_SIZE)), np.uint8)
        for n, register in enumerate(self.gprs):
            r["gpr"][n] = uc.reg_read(register)
        r["rip"], r["rflags"] = uc.reg_read(self.ip), uc.reg_read(self.flags) & ~RF
        if self.bits == 64:
            r["fs_base"], r["gs_base"] = (uc.reg_read(register) for register in self.bases)
        control, status, tags, mxcsr = (uc.reg_read(register) for register in self.fpu)
        fx["fcw"], fx["fsw"], fx["mxcsr"] = control, status, mxcsr
        fx["ftw"] = sum(1 << n for n in range(8) if tags >> 2 * n & 3 != 3)
        for n in range(8):
            significand, exponent = uc.reg_read(self.st[(n + (status >> 11)) & 7])
            fx["st"][n, :10] = np.frombuffer(significand.to_bytes(8, "little") + exponent.to_bytes(2, "little"), np.uint8)
        for n, register in enumerate(self.xmm):
            fx["xmm"][n] = np.frombuffer(uc.reg_read(register).to_bytes(16, "little"), np.uint8)

    def run(self, states: np.ndarray, code: bytes) -> np.ndarray:
        """Run `code` once from each of `states`; an array of layout.RESULT."""
        start, results = int(states["rip"][0]), np.zeros(len(states), RESULT)
        page = bytearray([INT3]) * CODE_SIZE
        page[start - CODE : start - CODE + len(code)] = code
        self.uc.mem_write(CODE, bytes(page))
        self.uc.ctl_remove_cache(CODE, CODE + CODE_SIZE)
        for state, result in zip(states, results):
            self._load(state)
            self.vector = None
            self.error_code = self.address = 0
            try:
                self.uc.emu_start(start, (1 << 64) - 1 if self.bits == 64 else 0xFFFFFFFF, 0, 1)
            except self.error as failure:
                if self.vector is None and failure.errno == self.invalid_instruction:
                    self.vector = UD
                elif self.vector is None and failure.errno == self.exception:
                    self.vector = GP
            self._store(result)
            result["vector"] = NONE
            if self.vector is None or self.vector == BP and code[:1] != b"\xcc":
                continue
            for name in state.dtype.names:
                result[name] = state[name]
            result["vector"], result["error_code"], result["fault_address"] = self.vector, self.error_code, self.address
        return results


@functools.cache
def shared(bits: int) -> Unicorn:
    """The one emulator of a code size."""
    return Unicorn(bits)


def run(states: np.ndarray, code: bytes, bits: int = 64) -> np.ndarray:
    """`Unicorn.run` on the shared emulator."""
    return shared(bits).run(states, code)
