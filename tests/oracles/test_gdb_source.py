"""gdb as the oracle of lines and of the stack of calls: a small kernel that gcc makes, in three shapes, at the same places under QEMU."""

import re
import shutil
import subprocess

import pytest

from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.dwarf.debug import Debug
from vmdbg.debugger.opening import open_bare
from vmdbg.debugger.symbols import read_symbols
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.debian,
    pytest.mark.skipif(not all(shutil.which(p) for p in ("gcc", "ld", "objcopy", "gdb")), reason="needs gcc, binutils and gdb"),
]

KERNEL = """\
static volatile unsigned sink;
static inline __attribute__((always_inline)) void poke(unsigned v) { sink = v; }
__attribute__((noinline)) unsigned leaf(unsigned n)
{
    poke(n);
    return n * 3 + 1;
}
__attribute__((noinline)) unsigned middle(unsigned n)
{
    unsigned buffer[16];
    for (unsigned i = 0; i < 16; i++)
        buffer[i] = leaf(n + i);
    return buffer[n & 15];
}
__attribute__((noinline)) unsigned deep(unsigned n)
{
    if (n == 0)
        return middle(7);
    return deep(n - 1) + 1;
}
void kmain(void)
{
    sink = deep(3);
    for (;;)
        __asm__ volatile ("hlt");
}
__asm__ (".pushsection .multiboot,\\"a\\"; .long 0x1BADB002, 0, -0x1BADB002; .popsection");
__asm__ (".globl _start; _start: mov $stack_top, %esp; xor %ebp, %ebp; call kmain; .comm stack_top_room, 4096");
"""
SCRIPT = """\
ENTRY(_start)
SECTIONS { . = 0x100000; .text : { *(.multiboot) *(.text*) } .data : { *(.data*) } .bss : { *(.bss*) *(COMMON) stack_top = .; } }
"""
FLAGS = "-g -m32 -ffreestanding -fno-pic -fno-stack-protector -mno-sse -fno-optimize-sibling-calls".split()
SHAPES = {
    "tables": ["-O2", "-fomit-frame-pointer"],
    "plain": ["-O0"],
    "pointers": ["-O1", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"],
}
LONGEST = 60


def run(*command, cwd) -> str:
    found = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LONGEST)
    if found.returncode and "m32" in " ".join(command):
        pytest.skip(f"gcc makes no 32-bit code: {found.stderr[-200:]}")
    return found.stdout


@pytest.fixture(params=SHAPES)
def kernel(request, tmp_path):
    (tmp_path / "k.c").write_text(KERNEL)
    (tmp_path / "k.ld").write_text(SCRIPT)
    run("gcc", *FLAGS, *SHAPES[request.param], "-c", "k.c", cwd=tmp_path)
    run("ld", "-m", "elf_i386", "-nostdlib", "-z", "noexecstack", "-T", "k.ld", "-o", "k.elf", "k.o", cwd=tmp_path)
    if request.param == "pointers":
        run("objcopy", "-R", ".debug_frame", "-R", ".eh_frame", "k.elf", cwd=tmp_path)
    return tmp_path / "k.elf"


def test_lines(kernel):
    """`info line *ADDRESS` for every address of the text, `info line k.c:N` for every line."""
    debug, text = Debug(kernel), KERNEL.count("\n")
    table = read_symbols(kernel).table
    first, last = table["leaf"], table["kmain"] + 8
    wanted = [f"info line *{a:#x}" for a in range(first, last)] + [f"info line k.c:{n}" for n in range(1, text)]
    said = run("gdb", "-batch", "-nx", *(w for line in wanted for w in ("-ex", line)), kernel.name, cwd=kernel.parent).splitlines()
    for address, line in zip(range(first, last), said):
        known = re.match(r"Line (\d+) of", line)
        place = debug.line_at(address)
        assert (place.line if place else None) == (int(known[1]) if known else None), f"{address:#x}: {line}"
    starts = {}
    for line in said[last - first :]:
        if (known := re.match(r"Line (\d+) of .* (?:starts at|is at) address (0x[0-9a-f]+)", line)) and "contains no code" not in line:
            starts.setdefault(int(known[1]), set()).add(int(known[2], 16))
    assert len(starts) > 8
    for n, addresses in starts.items():
        assert addresses <= set(debug.addresses("k.c", n)), n


@pytest.mark.skipif(shutil.which("qemu-system-i386") is None, reason="needs QEMU")
def test_stack_of_calls(kernel):
    """`bt` at the entry of the innermost function and at its last line: functions, addresses and lines of every frame."""
    i = Interpreter(open_bare(load_guest(kernel, Options()), engine="plain", symbols=read_symbols(kernel)))
    i.execute("until leaf")
    ours = [frames_of(i.execute("bt"), r"#\d+ +([0-9a-f]+) (\w+)(?:\+\S+)?(?:  k\.c:(\d+))?")]
    i.execute("until k.c:6")
    ours.append(frames_of(i.execute("bt"), r"#\d+ +([0-9a-f]+) (\w+)(?:\+\S+)?(?:  k\.c:(\d+))?"))
    at = [i.session.symbols.table["leaf"], i.session.rip]
    theirs = gdb_frames(kernel, at)
    assert all(len(frames) >= 7 for frames in ours)  # leaf, middle, deep four times, kmain
    for mine, other in zip(ours, theirs):
        assert [(name, line) for _, name, line in mine[: len(other)]] == [(name, line) for _, name, line in other]
        assert [a for a, _, _ in mine[1 : len(other)]] == [a for a, _, _ in other[1:]]  # of the innermost gdb shows none at a line's start


def gdb_frames(kernel, places) -> list[list[tuple]]:
    """What gdb says of the guest under QEMU, through its stub at a pipe; without the frame of _start, which has no line."""
    target = f"| qemu-system-i386 -kernel {kernel.name} -S -gdb stdio -display none -monitor none -serial none"
    commands = ["set architecture i386", f"target remote {target}"]
    for place in places:
        commands += [f"tbreak *{place:#x}", "continue", "bt", "echo ----\\n"]
    said = run("gdb", "-batch", "-nx", *(w for c in commands for w in ("-ex", c)), kernel.name, cwd=kernel.parent)
    parts = said.split("----")[: len(places)]
    found = [frames_of(part.splitlines(), r"#\d+ +(?:0x([0-9a-f]+) in )?(\w+) \(.*\)(?: at (?:.*/)?k\.c:(\d+))?") for part in parts]
    return [[f for f in frames if f[1] != "_start"] for frames in found]


def frames_of(lines, pattern: str) -> list[tuple]:
    found = [re.match(pattern, line) for line in lines]
    return [(int(m[1], 16) if m[1] else None, m[2], m[3]) for m in found if m]
