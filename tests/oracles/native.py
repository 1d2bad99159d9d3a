"""The host CPU as an oracle: one instruction, natively, in user mode (64-bit, or 32-bit with flat segments), on many states.

Linux on x86-64 with FSGSBASE (Linux 5.9, Ivy Bridge or Zen) only; `unavailable()` says why not. See trampoline.py for how.
Not for: SYSENTER, INT 80h, SYSCALL in 32-bit code (the host's kernel does not come back from them with the registers as they were).

What Linux changes on the way and this module puts right:
* INT3 after the instruction ends it: rip is one less, there is no vector. A fetch fault at another address than the
  instruction's own is the next instruction's affair: the branch went there.
* A page fault above the user half, or in its last page, is reported as a protection violation (arch/x86/mm/fault.c:
  sanitize_error_code): bit 0 is cleared, nothing is mapped there.
* A SYSCALL is refused and answered by SIGSYS: what the entry did to RCX and R11 stays, as after a call that does nothing.
* RF is set in what a fault pushes: cleared. The FXSAVE image carries the kernel's own words in bytes 464-511: cleared.
"""

import functools
import mmap
import os
import platform
import select
import signal
import sys

import numpy as np

from . import trampoline as t
from .layout import BP, CODE, CODE_SIZE, HAS_ERROR_CODE, INT3, LOADED, NONE, PF_FAULT, RF, STATE

_GPR = [t.GREGS.index(name) for name in "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()]
_RIP, _RFLAGS, _ERROR, _VECTOR, _CR2, _CS_SS = (t.GREGS.index(name) for name in "rip rflags error_code vector cr2 csgsfs".split())
_LEGACY_PREFIXES = b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3"
_AT_HWCAP2, _HWCAP2_FSGSBASE = 26, 2
_TIMEOUT = 10.0


class NativeDied(Exception):
    """The child was killed: the instruction left the mapped world in a way that no signal handler can catch."""


@functools.cache
def unavailable() -> str | None:
    """Why the host cannot be an oracle, or None."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the native oracle needs Linux on x86-64"
    words = np.frombuffer(open("/proc/self/auxv", "rb").read(), np.uint64).reshape(-1, 2)
    if not int(dict(words.tolist()).get(_AT_HWCAP2, 0)) & _HWCAP2_FSGSBASE:
        return "the native oracle needs a kernel with FSGSBASE enabled"
    return None


@functools.cache
def vendor() -> str:
    """CPUID's vendor string of the host: GenuineIntel, AuthenticAMD ..."""
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "unknown")


@functools.cache
def emulates_umip() -> bool:
    """Whether the kernel answers SGDT, SIDT, SLDT, STR and SMSW instead of the CPU (arch/x86/kernel/umip.c)."""
    with open("/proc/cpuinfo") as lines:
        return any(line.startswith("flags") and "umip" in line.split() for line in lines)


def opcode_of(code: bytes, bits: int) -> bytes:
    """`code` without its legacy and REX prefixes."""
    rest = code.lstrip(_LEGACY_PREFIXES)
    return rest[1:] if bits == 64 and rest and 0x40 <= rest[0] <= 0x4F else rest


class Native:
    """One child process that runs instructions; it starts on first use and again after it died."""

    def __init__(self):
        self._child = None
        self._file = os.memfd_create("oracle")
        os.ftruncate(self._file, t.SHARED_SIZE)
        self._map = mmap.mmap(self._file, t.SHARED_SIZE)
        shared = np.frombuffer(self._map, np.uint8)
        self._header = shared[: t.HEADER.itemsize].view(t.HEADER)
        self._code = shared[t.CODE_OFFSET : t.CODE_OFFSET + CODE_SIZE]
        self._states = shared[t.STATES_OFFSET :][: t.BATCH * STATE.itemsize].view(STATE)
        self._results = shared[t.RESULTS_OFFSET :][: t.BATCH * t.RAW.itemsize].view(t.RAW)
        self._program, self._compatible = t.program()

    def run(self, states: np.ndarray, code: bytes, bits: int = 64) -> np.ndarray:
        """Run `code` once from each of `states` (layout.STATE, one common rip inside CODE); an array of layout.LOADED.

        TF is not allowed in the states; AC is. With bits = 32 every register must fit 32 bits. NativeDied, TimeoutError.
        """
        start = int(states["rip"][0])
        if not (states["rip"] == start).all() or not CODE <= start <= CODE + CODE_SIZE - len(code):
            raise ValueError("all states must start at one rip inside the code pages")
        opcode = opcode_of(code, bits)
        if opcode[:2] in (b"\x0f\x34", b"\xcd\x80") or opcode[:2] == b"\x0f\x05" and bits != 64:
            raise ValueError("this instruction would enter the host's kernel")
        self._code[:] = INT3
        self._code[start - CODE : start - CODE + len(code)] = np.frombuffer(code, np.uint8)
        self._header["entry"] = start if bits == 64 else self._compatible
        self._header["far_offset"], self._header["far_selector"] = start, t.USER32_CS
        results = np.empty(len(states), LOADED)
        for first in range(0, len(states), t.BATCH):
            part = states[first : first + t.BATCH]
            self._batch(part)
            self._convert(self._results[: len(part)], results[first : first + t.BATCH])
        return self._finish(results, start, opcode, bits)

    def _batch(self, states: np.ndarray) -> None:
        self._states[: len(states)] = states
        self._header["count"] = len(states)
        if self._child is None:
            self._start()
        try:
            os.write(self._to, b"g")
            ready, _, _ = select.select([self._from], [], [], _TIMEOUT)
            if not ready:
                self.close()
                raise TimeoutError("the instruction does not end")
            if os.read(self._from, 1) == b"g":
                return
        except BrokenPipeError:
            pass
        raise NativeDied(f"the child ended with status {self.close()}")

    def _start(self) -> None:
        program = os.memfd_create("native")
        os.write(program, self._program)
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, old, new) for old, new in ((theirs_in, 0), (theirs_out, 1), (self._file, t.SHARED_FD))]
        path = f"/proc/{os.getpid()}/fd/{program}"
        self._child = os.posix_spawn(path, ["native"], {}, file_actions=actions)
        os.sched_setaffinity(self._child, [min(os.sched_getaffinity(0))])  # LSL and RDPID tell the processor
        for number in (program, theirs_in, theirs_out):
            os.close(number)

    def close(self) -> int | None:
        """End the child; how it ended, if it had before."""
        if self._child is None:
            return None
        os.close(self._to)
        os.close(self._from)
        os.kill(self._child, signal.SIGKILL)
        _, status = os.waitpid(self._child, 0)
        self._child = None
        return os.waitstatus_to_exitcode(status)

    @staticmethod
    def _convert(raw: np.ndarray, results: np.ndarray) -> None:
        greg = raw["greg"]
        results["gpr"] = greg[:, _GPR]
        results["rip"], results["rflags"] = greg[:, _RIP], greg[:, _RFLAGS]
        results["vector"], results["error_code"], results["fault_address"] = greg[:, _VECTOR], greg[:, _ERROR], greg[:, _CR2]
        for name in ("fs_base", "gs_base", "fx", "window"):
            results[name] = raw[name]
        results["selectors"][:, [3, 0, 4, 5]] = raw["ds_es_fs_gs"]
        results["selectors"][:, 1], results["selectors"][:, 2] = greg[:, _CS_SS] & 0xFFFF, greg[:, _CS_SS] >> 48
        results["vector"][raw["signal"] == t.SIGSYS] = NONE

    @staticmethod
    def _finish(results: np.ndarray, start: int, opcode: bytes, bits: int) -> np.ndarray:
        vector, error, address, rip = (results[name] for name in ("vector", "error_code", "fault_address", "rip"))
        if ((rip >> 12) == t.STUB >> 12).any():
            raise ValueError("a state cannot be loaded: reserved bits of MXCSR or a base that is not canonical")
        page_fault = vector == PF_FAULT
        arrived = page_fault & (error & 0x10 != 0) & (rip == address) & (rip != start)
        if not (opcode[:1] == b"\xcc" or opcode[:2] == b"\xcd\x03"):
            ended = vector == BP
            rip[ended] -= 1
            arrived |= ended
        vector[arrived] = NONE
        error[page_fault & (address >= 0x7FFF_FFFF_F000)] &= 0xFFFE
        error[~np.isin(vector, HAS_ERROR_CODE)] = 0
        address[vector != PF_FAULT] = 0
        results["rflags"] &= ~np.uint64(RF)
        results["fx"]["mxcsr_mask"] = 0
        image = results.view(np.uint8).reshape(len(results), LOADED.itemsize)[:, LOADED.fields["fx"][1] :]
        image[:, 416:512] = 0
        if bits == 32:
            results["gpr"] &= 0xFFFF_FFFF
        return results


@functools.cache
def shared() -> Native:
    """The one oracle of a test run."""
    return Native()


def run(states: np.ndarray, code: bytes, bits: int = 64) -> np.ndarray:
    """`Native.run` on the shared oracle."""
    return shared().run(states, code, bits)
