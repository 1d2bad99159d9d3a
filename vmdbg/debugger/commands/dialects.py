"""What short words mean to users of other debuggers, by key map (vmdbg/ui/keymaps.py), where gdb means something else by them."""

DIALECTS: dict[str, dict[str, str]] = {
    "windbg": {"p": "nexti", "t": "stepi", "g": "continue", "u": "disassemble", "r": "info registers", "x": "info symbols"},
    "bochs": {"p": "nexti", "u": "disassemble", "r": "info registers"},
}
