"""What instructions mean, written once: f(cpu, u, operands in the manual's order) -> status.

The rules (contract.md sections 2-4; isa.lang for the language):

* A meaning is a plain function over words.  Operands are places: `dst.value = dst.value + src.value`; their width is
  the operand's, so one function serves every width.  Parameters stand in the order of the row's operands; a row with
  a condition code passes it as a last parameter `cc` (an int constant).  Register operands that are not general
  registers (segment, control, debug, x87 stack numbers) arrive as places of 8 bits holding the number; LEA's and other
  `ea` operands as a 64-bit place holding the offset; relative targets as a 64-bit place holding the absolute target.
  Memory operands have been translated (permission to write included where the row says w or rw) before the meaning runs.
  Memory operands wider than 16 bytes (FXSAVE, XSAVE, FLDENV ...), BOUND, far pointers and the like come as `ea`: the
  meaning goes through memory.py itself.
* It returns a status of state.py.  Nothing architectural changes before the last point at which it can fault:
  `return fault(cpu, GP, 0)` leaves vector and error code for the driver; faults of memory are left by `locate`,
  which then returned 0: `if host == 0: return FAULT`.
* cpu.rip is not kept up to date while a block runs: the next instruction is at u.after; a branch sets cpu.rip
  (masked to the operand size) and returns BRANCH.  A meaning that changes what comes next without branching (IF, CPL,
  segments, paging, ...) returns END.
* Only numbers: words (never plain int arithmetic on data), booleans, tuples of them.  No lists, dicts, strings,
  exceptions, classes, default or keyword arguments, closures, globals other than ints and functions.  Loops are `while`.
  An int literal meets a word; two words of different width do not.  `x if c else y` needs both of one word type.
  A name has one type: not `x = 0` here and `x = U64(...)` there.
* Import names (`from vmdbg.machine.flags import set_flags`), not modules, from other compiled modules.
* A large or rarely run function is marked @outlined (isa.lang.word): compiled once and called, all others are inlined.
"""
