"""The program of the native oracle: machine code, assembled here, that runs one instruction on many states.

It is a process of its own (a static ELF file without a C library), so nothing but the map below and the layout's pages exists in
its address space: a stray load or store of the tested instruction faults, and cannot hurt the test run.

    6000_0000_0000  STUB      this code
    6000_0001_0000  DATA      its variables, then HOST_STACK's page
    6000_0002_0000  SIGNALS   the alternate signal stack
    6000_1000_0000  SHARED    header, states, results: shared with the test run

    serve:  read a byte -> run `count` states -> write a byte -> serve
    next:   copy the window in, FXRSTOR, bases, flags, registers, jump to the instruction
    caught: (the signal handler: every run ends here, a completed instruction by the INT3 that follows) copy registers, vector,
            error code, CR2 from the signal frame, selectors, the FXSAVE image and the window out, then next

The handler never returns through sigreturn: signals are not masked (SA_NODEFER), so it may just go on. The tested instruction may
leave any value in RSP: the kernel switches to the alternate stack, everything else is addressed relative to RIP.
It has an LDT with host_tables.py's descriptors. After its set-up a seccomp filter lets only the calls of this code pass: every other
one does nothing and is a SIGSYS, which ends the run of a tested SYSCALL.
"""

import struct

import numpy as np

from . import elf, host_tables
from .layout import CODE, CODE32, CODE_SIZE, FX, PAGE, READ_ONLY, READ_ONLY_IMAGE, READ_ONLY_SIZE, SELECTORS, STATE, WINDOW, WINDOW_SIZE

STUB = 0x6000_0000_0000
DATA = 0x6000_0001_0000
HOST_STACK = DATA + 2 * PAGE
SIGNALS, SIGNALS_SIZE = 0x6000_0002_0000, 0x10000
SHARED = 0x6000_1000_0000
SHARED_FD = 3

BATCH = 512

# The kernel's gregset order (sys/ucontext.h), then bases, selectors, signal, the FXSAVE image and the window: what `caught` stores.
GREGS = "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip rflags csgsfs error_code vector oldmask cr2".split()
RAW = np.dtype([("greg", "<u8", 23), ("fs_base", "<u8"), ("gs_base", "<u8"), ("ds_es_fs_gs", "<u2", 4), ("signal", "<u8")]
               + [("fx", FX), ("window", "u1", WINDOW_SIZE)])  # fmt: skip
HEADER = np.dtype([("count", "<u8"), ("entry", "<u8"), ("far_offset", "<u4"), ("far_selector", "<u4")])

# The file behind SHARED and CODE: header page, code pages, states, results.
CODE_OFFSET = PAGE
STATES_OFFSET = CODE_OFFSET + CODE_SIZE
RESULTS_OFFSET = (STATES_OFFSET + BATCH * STATE.itemsize + PAGE - 1) // PAGE * PAGE
SHARED_SIZE = (RESULTS_OFFSET + BATCH * RAW.itemsize + PAGE - 1) // PAGE * PAGE

# Variables in DATA.
_REMAINING, _STATE, _RESULT, _BYTE, _SIGACTION, _STACK_T, _FILTER = (DATA + n for n in (0, 8, 16, 24, 32, 64, 96))
_DESCRIPTORS = DATA + 0x200

SIGSYS = 31
_SIGNALS = (4, 5, 7, 8, 11, SIGSYS)  # SIGILL SIGTRAP SIGBUS SIGFPE SIGSEGV
_SA = 4 | 0x08000000 | 0x40000000 | 0x04000000  # SIGINFO ONSTACK NODEFER RESTORER
_READ, _WRITE, _MMAP, _SIGACTION_CALL, _EXIT, _SIGALTSTACK, _MODIFY_LDT, _PRCTL, _SECCOMP = 0, 1, 9, 13, 60, 131, 154, 157, 317
_ARGUMENT = ("48 BF", "48 BE", "48 BA", "49 BA", "49 B8", "49 B9")  # mov rdi/rsi/rdx/r10/r8/r9, imm64

USER_DS, USER32_CS = SELECTORS[0], CODE32


class Code:
    """Machine code being laid down at `base`, with labels and RIP-relative operands."""

    def __init__(self, base: int):
        self.base, self.bytes, self.labels, self._jumps = base, bytearray(), {}, []

    def __call__(self, text: str, imm: bytes = b"") -> None:
        self.bytes += bytes.fromhex(text) + imm

    def label(self, name: str) -> None:
        self.labels[name] = self.base + len(self.bytes)

    def at(self, text: str, address: int, imm: bytes = b"") -> None:
        """`text`, then a RIP-relative displacement to `address`, then `imm`."""
        self.bytes += bytes.fromhex(text)
        self.bytes += struct.pack("<i", address - (self.base + len(self.bytes) + 4 + len(imm))) + imm

    def jump(self, text: str, label: str) -> None:
        self.bytes += bytes.fromhex(text)
        self._jumps.append((len(self.bytes), label))
        self.bytes += bytes(4)

    def call(self, number: int, *arguments: int) -> None:
        for opcode, argument in zip(_ARGUMENT, arguments, strict=False):
            self(opcode, struct.pack("<Q", argument & (1 << 64) - 1))
        self("B8", struct.pack("<I", number))
        self("0F 05")

    def done(self) -> bytes:
        for place, label in self._jumps:
            self.bytes[place : place + 4] = struct.pack("<i", self.labels[label] - (self.base + place + 4))
        return bytes(self.bytes)


def _field(name: str) -> bytes:
    return struct.pack("<i", STATE.fields[name][1])


def _set_up(c: Code) -> None:
    maps = [(SHARED, SHARED_SIZE, 3, 0), (CODE, CODE_SIZE, 5, CODE_OFFSET)]
    for address, size, protection, offset in maps:
        c.call(_MMAP, address, size, protection, 0x8011, SHARED_FD, offset)  # MAP_SHARED | MAP_FIXED | MAP_POPULATE
        c("48 85 C0")  # test rax, rax
        c.jump("0F 88", "exit")  # js exit
    c.call(_SIGALTSTACK, _STACK_T, 0)
    for signal in _SIGNALS:
        c.call(_SIGACTION_CALL, signal, _SIGACTION, 0, 8)
    for n in range(len(host_tables.LDT_ENTRIES)):
        c.call(_MODIFY_LDT, 0x11, _DESCRIPTORS + 16 * n, 16)  # where the kernel has no such call the LDT stays empty
    _usual_segments(c)  # for 32-bit code; in a fresh 64-bit process they are null
    c.call(_PRCTL, 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    c.call(_SECCOMP, 1, 0, _FILTER)  # SECCOMP_SET_MODE_FILTER
    c("48 85 C0")
    c.jump("0F 85", "exit")
    c("48 BC", struct.pack("<Q", HOST_STACK))  # mov rsp, HOST_STACK


def _usual_segments(c: Code) -> None:
    c("B8", struct.pack("<I", USER_DS))
    c("8E D8 8E C0 8E E0 8E E8 8E D0")  # mov ds/es/fs/gs/ss, eax


def _filter() -> bytes:
    """A sock_fprog and its program: read, write and exit by the STUB's own code pass, all else is a SIGSYS (linux/seccomp.h)."""
    trap, allow = 0x0003_0000, 0x7FFF_0000
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 12), (equal, 0, 9, STUB >> 32), (load, 0, 0, 8), (at_least, 7, 0, DATA & 0xFFFF_FFFF)]
    program += [(load, 0, 0, 4), (equal, 0, 5, 0xC000_003E), (load, 0, 0, 0)]  # AUDIT_ARCH_X86_64, then the number
    program += [(equal, 2, 0, _READ), (equal, 1, 0, _WRITE), (equal, 0, 1, _EXIT), (answer, 0, 0, allow), (answer, 0, 0, trap)]
    return struct.pack("<HxxxxxxQ", len(program), _FILTER + 16) + b"".join(struct.pack("<HBBI", *line) for line in program)


def _serve(c: Code) -> None:
    c.label("serve")
    c.call(_READ, 0, _BYTE, 1)
    c("48 83 F8 01")  # cmp rax, 1
    c.jump("0F 85", "exit")  # jne exit
    c("8A 04 25", struct.pack("<I", READ_ONLY))  # mov al, [READ_ONLY]: present, so that a store finds it protected
    c.at("48 8B 05", SHARED)  # mov rax, [header.count]
    c.at("48 89 05", _REMAINING)
    c("48 B8", struct.pack("<Q", SHARED + STATES_OFFSET))
    c.at("48 89 05", _STATE)
    c("48 B8", struct.pack("<Q", SHARED + RESULTS_OFFSET))
    c.at("48 89 05", _RESULT)
    c.jump("E9", "next")
    c.label("exit")
    c.call(_EXIT, 2)


def _next(c: Code) -> None:
    c.label("next")
    c.at("48 83 2D", _REMAINING, b"\x01")  # sub qword [remaining], 1
    c.jump("0F 82", "done")  # jb done
    c.at("4C 8B 3D", _STATE)  # mov r15, [state]
    c("49 8D B7", _field("window"))  # lea rsi, [r15 + window]
    c("BF", struct.pack("<I", WINDOW))  # mov edi, WINDOW
    c("B9", struct.pack("<I", WINDOW_SIZE // 8))  # mov ecx, n
    c("F3 48 A5")  # rep movsq
    c("49 0F AE 8F", _field("fx"))  # fxrstor64 [r15 + fx]
    c("49 8B 87", _field("fs_base"))  # mov rax, [r15 + fs_base]
    c("F3 48 0F AE D0")  # wrfsbase rax
    c("49 8B 87", _field("gs_base"))
    c("F3 48 0F AE D8")  # wrgsbase rax
    c("41 FF B7", _field("rflags"))  # push qword [r15 + rflags]
    c("9D")  # popfq: from here on only aligned accesses (AC may be set)
    for n in range(16):
        if n not in (4, 15):
            c(f"{0x49 | (n >> 3) << 2:02X} 8B {0x87 | (n & 7) << 3:02X}", struct.pack("<i", 8 * n))  # mov reg, [r15 + 8n]
    c("49 8B A7", struct.pack("<i", 8 * 4))  # mov rsp, [r15 + 32]
    c("4D 8B BF", struct.pack("<i", 8 * 15))  # mov r15, [r15 + 120]
    c.at("FF 25", SHARED + HEADER.fields["entry"][1])  # jmp [header.entry]
    c.label("compatible")
    c.at("FF 2D", SHARED + HEADER.fields["far_offset"][1])  # jmp far [header.far]
    c.label("done")
    c.call(_WRITE, 1, _BYTE, 1)
    c.jump("E9", "serve")


def _caught(c: Code) -> None:
    c.label("caught")  # rdi signal, rsi siginfo, rdx ucontext
    c("6A 02 9D")  # push 2; popfq: AC and DF off
    c("41 89 F8")  # mov r8d, edi
    c.at("48 8B 3D", _RESULT)  # mov rdi, [result]
    c("48 8D 72 28")  # lea rsi, [rdx + 40]: uc_mcontext.gregs
    c("B9", struct.pack("<I", 23))
    c("F3 48 A5")  # rep movsq
    c("F3 48 0F AE C0 48 AB")  # rdfsbase rax; stosq
    c("F3 48 0F AE C8 48 AB")  # rdgsbase rax; stosq
    c("8C D8 66 AB 8C C0 66 AB 8C E0 66 AB 8C E8 66 AB")  # mov eax, ds/es/fs/gs; stosw
    c("4C 89 C0 48 AB")  # mov rax, r8; stosq
    _usual_segments(c)
    c("48 8B B2", struct.pack("<i", 40 + 23 * 8))  # mov rsi, [rdx + 224]: uc_mcontext.fpregs
    c("B9", struct.pack("<I", 64))
    c("F3 48 A5")
    c("BE", struct.pack("<I", WINDOW))  # mov esi, WINDOW
    c("B9", struct.pack("<I", WINDOW_SIZE // 8))
    c("F3 48 A5")
    c.at("48 89 3D", _RESULT)  # mov [result], rdi
    c.at("48 81 05", _STATE, struct.pack("<i", STATE.itemsize))  # add qword [state], size
    c("48 BC", struct.pack("<Q", HOST_STACK))
    c.jump("E9", "next")


def program() -> tuple[bytes, int]:
    """The ELF file, and the address of the jump into 32-bit code (header.entry's value for bits = 32)."""
    c = Code(STUB)
    _set_up(c)
    _serve(c)
    _next(c)
    _caught(c)
    text = c.done()
    caught = c.labels["caught"]
    data = bytearray(_DESCRIPTORS - DATA) + b"".join(map(host_tables.user_desc, range(len(host_tables.LDT_ENTRIES))))
    data[_FILTER - DATA : _FILTER - DATA + len(_filter())] = _filter()
    struct.pack_into("<QQQQ", data, _SIGACTION - DATA, caught, _SA, caught, 0)
    struct.pack_into("<QIIQ", data, _STACK_T - DATA, SIGNALS, 0, 0, SIGNALS_SIZE)
    segments = [
        (WINDOW, elf.READ | elf.WRITE, b"", WINDOW_SIZE),
        (READ_ONLY, elf.READ, READ_ONLY_IMAGE.tobytes(), READ_ONLY_SIZE),
        (STUB, elf.READ | elf.EXEC, text, len(text)),
        (DATA, elf.READ | elf.WRITE, bytes(data), HOST_STACK - DATA),
        (SIGNALS, elf.READ | elf.WRITE, b"", SIGNALS_SIZE),
    ]
    return elf.executable(STUB, segments), c.labels["compatible"]
