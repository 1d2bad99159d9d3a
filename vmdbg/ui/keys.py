"""The key map as data (gdb's habit): an id, its keys, and the line of commands or the app's own action that it stands for."""

from typing import NamedTuple


class Key(NamedTuple):
    id: str
    keys: str  # comma-separated
    does: str  # ': line' is a line of commands, else an action of the app
    label: str  # in the footer; '' is not shown there
    help: str


GDB = (
    Key("step", "s,f7", ": stepi", "Step", "one step: an instruction, or the delivery of a trap"),
    Key("over", "n,f8,f10", ": nexti", "Over", "one step, but calls, int and rep as a whole"),
    Key("continue", "c,f5", ": continue", "Run", "run until something stops it"),
    Key("pause", "space,f6", "pause", "Pause", "pause a running machine, run a paused one"),
    Key("trap", "t", ": trap", "Trap", "run to the next trap: before it is delivered"),
    Key("finish", "f", ": finish", "", "run until the current function returns"),
    Key("exit", "e", ": exit", "", "run to the next VM exit: before what would leave to a monitor"),
    Key("reverse_step", "S", ": reverse-stepi", "", "one step back"),
    Key("reverse_over", "N", ": reverse-nexti", "", "one step back, through calls, int and rep as a whole"),
    Key("reverse_continue", "C", ": reverse-continue", "", "back to the last breakpoint, or to the beginning"),
    Key("reverse_trap", "T", ": reverse-trap", "", "back to the last trap: before it was delivered"),
    Key("reverse_finish", "F", ": reverse-finish", "", "back to what entered this function"),
    Key("reverse_exit", "E", ": reverse-exit", "", "back to the last VM exit"),
    Key("earlier", "[", "move(-1)", "", "timeline: a column earlier (wheel and click go anywhere)"),
    Key("later", "]", "move(1)", "", "timeline: a column later"),
    Key("earlier_stop", "{", "stop(-1)", "", "timeline: the stop before"),
    Key("later_stop", "}", "stop(1)", "", "timeline: the stop after"),
    Key("beginning", "<", "end(-1)", "", "timeline: the beginning of what is recorded"),
    Key("end", ">", "end(1)", "", "timeline: its end"),
    Key("cancel", "escape", "cancel", "", "end a journey through history, or a search of it"),
    Key("break", "b,f9", "toggle_breakpoint", "Break", "set or delete a breakpoint at the cursor of the disassembly or the source"),
    Key("watch", "w", "prompt('watch ')", "", "stop after a write to memory"),
    Key("goto", "g", "prompt('goto ')", "", "show another place in the disassembly and the source"),
    Key("source", "l", "source", "", "disassembly or lines of source"),
    Key("command", "colon", "prompt('')", "Cmd", "type a command: help lists them"),
    Key("type", "i", "type", "Type", "keys go to the guest: to its keyboard, or to the serial port if that is shown; control-] ends it"),
    Key("console", "o", "console", "", "console: screen or serial port"),
    Key("bits", "r", "view('bits')", "", "registers by their bits; enter on the registers does it too"),
    Key("main", "1", "main", "", "the main screen"),
    Key("traps", "2", "view('traps')", "", "traps: the interrupt vector, what is pending, a delivery step by step"),
    Key("paging", "3", "view('paging')", "", "paging: an address level by level, and all that is mapped"),
    Key("exits", "4", "view('exits')", "", "exits: what leaves compiled code, by reason and place"),
    Key("trace", "5", "view('trace')", "", "trace: traps, ports, modes, inputs with their positions"),
    Key("breakpoints", "6", "view('breakpoints')", "", "breakpoints: add, switch, condition"),
    Key("snapshots", "7", "view('snapshots')", "", "snapshots: lines of history, checkpoints and marks as a tree"),
    Key("devices", "8,d", "devices", "", "devices: every register by name and bit"),
    Key("autopsy", "9", "view('autopsy')", "", "autopsy: why the CPU shut down"),
    Key("pane_next", "v", "next_pane(1)", "", "the next pane: registers, stack, console, output, interrupts, page walk"),
    Key("pane_previous", "V", "next_pane(-1)", "", "the pane before"),
    Key("help", "question_mark,f1", "help", "Help", "keys and commands"),
    Key("quit", "q", "quit", "Quit", "leave"),
)
