"""How to test a kernel of your own under pytest: copy this file, and put your kernel's file in the place of the shipped guest's name.

A session is a whole machine that runs in this process.  It stops where you say, shows registers and memory, and goes back; that a
kernel hangs or triple-faults is a stop like any other.  `help(vmdbg.Session)` has the rest.
"""

import pytest

from vmdbg import Session

KERNEL = "dual_mode"  # or the path of an ELF, multiboot or PVH kernel, a Linux bzImage, a boot sector, an image of a disk
ENOUGH = 10_000_000  # instructions: more than the kernel needs


@pytest.fixture
def vm():
    with Session.open(KERNEL, memory=16 << 20, cpus=1) as session:
        yield session


def test_it_boots_and_ends(vm):
    """The whole run: it comes to its end by itself, and says what it has to say."""
    stop = vm.run(ENOUGH)
    assert stop.has("idle"), stop.text
    assert "kernel: nobody left to run" in vm.console


def test_the_first_task_runs_in_ring_3(vm):
    """A breakpoint at a symbol, and what the CPU is like there."""
    vm.breakpoints.add("start_a")
    assert vm.run(ENOUGH).has("break")
    assert vm.registers.cpl == 3
    assert vm.registers.cs == 0x1B
    assert vm.registers["if"] == 1


def test_a_bad_pointer_kills_the_task(vm):
    """Stop before the page fault is delivered, see why it happens, and that the handler gives the CPU to the other task."""
    vm.breakpoints.add("trap PF if cr2 >= 0xd0000000")
    stop = vm.run(ENOUGH)
    assert (stop.vector, stop.address, stop.error_code) == (14, 0xDEADB000, 4)
    task = vm.registers.cr3
    vm.breakpoints.add("ring 0->3 once")
    vm.run(ENOUGH)
    assert "killed task A" in vm.console
    assert vm.registers.cr3 != task


def test_tasks_cannot_be_deaf(vm):
    """A rule for the whole run: what breaks it would stop it."""
    vm.breakpoints.add("ring 0->3 if !(rflags & 0x200)")
    stop = vm.run(ENOUGH)
    assert not stop.has("mode"), stop.text


def test_the_kernel_does_not_trust_a_pointer(vm):
    """Memory, and a past that is changed: what if the task had asked for a text of the kernel's, instead of its own?"""
    vm.breakpoints.add("trap 0x80 once")
    vm.run(ENOUGH)
    first_call = vm.mark()
    assert vm.memory[vm.registers.ebx : vm.registers.ebx + 8] == b"A: hello"
    vm.run(ENOUGH)
    end = vm.mark()
    vm.goto(first_call)
    vm.registers.ebx = vm.evaluate("greeting")  # from here on, another line of history
    vm.run(ENOUGH)
    assert "A: hello" not in vm.console and "killed task A, vector 00000080" in vm.console
    vm.goto(end)  # the first line is still there
    assert "A: hello" in vm.console
