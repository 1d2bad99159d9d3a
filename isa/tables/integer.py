"""The integer instructions, in the order of the manual's groups.  Notation: isa/row.py."""

from isa import exits
from isa.exits import IO_EXITING
from isa.row import ALL, BUT_C, IOPL_OR_BITMAP, IOPL_V86, LOGIC, I

SHIFT = "w=oszpc u=a"
ROTATE = "w=oc"
NEAR = "rsp"


def arithmetic(base, name, sem, flags, access="rw", lock=True):
    """The six common forms and the immediate group of one two-operand operation."""
    digit = base >> 3
    facts = dict(flags=flags, access=access)
    yield I(f"{base:02X} /r", f"{name} Eb,Gb", sem, lock=lock, **facts)
    yield I(f"{base + 1:02X} /r", f"{name} Ev,Gv", sem, lock=lock, **facts)
    yield I(f"{base + 2:02X} /r", f"{name} Gb,Eb", sem, **facts)
    yield I(f"{base + 3:02X} /r", f"{name} Gv,Ev", sem, **facts)
    yield I(f"{base + 4:02X}", f"{name} AL,Ib", sem, **facts)
    yield I(f"{base + 5:02X}", f"{name} rAX,Iz", sem, **facts)
    yield I(f"80 /{digit}", f"{name} Eb,Ib", sem, lock=lock, **facts)
    yield I(f"81 /{digit}", f"{name} Ev,Iz", sem, lock=lock, **facts)
    yield I(f"82 /{digit} i64", f"{name} Eb,Ib", sem, lock=lock, note="alias of 80", **facts)
    yield I(f"83 /{digit}", f"{name} Ev,Ibs", sem, lock=lock, **facts)


def shifts(digit, name, sem, flags, note=""):
    """The six forms of one shift or rotate."""
    for opcode, count in (("C0", "Ib"), ("D0", "1"), ("D2", "CL")):
        yield I(f"{opcode} /{digit}", f"{name} Eb,{count}", sem, flags=flags, note=note)
        yield I(f"{int(opcode, 16) + 1:02X} /{digit}", f"{name} Ev,{count}", sem, flags=flags, note=note)


# fmt: off
ROWS = [
# --- binary arithmetic and logic -----------------------------------------------------------------------------
*arithmetic(0x00, "ADD", "add",  ALL),
*arithmetic(0x08, "OR",  "or_",  LOGIC),
*arithmetic(0x10, "ADC", "adc",  ALL + " r=c"),
*arithmetic(0x18, "SBB", "sbb",  ALL + " r=c"),
*arithmetic(0x20, "AND", "and_", LOGIC),
*arithmetic(0x28, "SUB", "sub",  ALL),
*arithmetic(0x30, "XOR", "xor",  LOGIC),
*arithmetic(0x38, "CMP", "cmp",  ALL, access="r", lock=False),
I("84 /r",       "TEST Eb,Gb",           "test",   flags=LOGIC, access="r"),
I("85 /r",       "TEST Ev,Gv",           "test",   flags=LOGIC, access="r"),
I("A8",          "TEST AL,Ib",           "test",   flags=LOGIC, access="r"),
I("A9",          "TEST rAX,Iz",          "test",   flags=LOGIC, access="r"),
I("F6 /0",       "TEST Eb,Ib",           "test",   flags=LOGIC, access="r"),
I("F6 /1",       "TEST Eb,Ib",           "test",   flags=LOGIC, access="r", note="alias of F6 /0"),
I("F7 /0",       "TEST Ev,Iz",           "test",   flags=LOGIC, access="r"),
I("F7 /1",       "TEST Ev,Iz",           "test",   flags=LOGIC, access="r", note="alias of F7 /0"),
I("F6 /2",       "NOT Eb",               "not_",   lock=True),
I("F7 /2",       "NOT Ev",               "not_",   lock=True),
I("F6 /3",       "NEG Eb",               "neg",    flags=ALL, lock=True),
I("F7 /3",       "NEG Ev",               "neg",    flags=ALL, lock=True),
I("FE /0",       "INC Eb",               "inc",    flags=BUT_C, lock=True),
I("FF /0",       "INC Ev",               "inc",    flags=BUT_C, lock=True),
I("FE /1",       "DEC Eb",               "dec",    flags=BUT_C, lock=True),
I("FF /1",       "DEC Ev",               "dec",    flags=BUT_C, lock=True),
I("40+r i64",    "INC Zv",               "inc",    flags=BUT_C),
I("48+r i64",    "DEC Zv",               "dec",    flags=BUT_C),
# --- multiplication and division -----------------------------------------------------------------------------
I("F6 /4",       "MUL Eb",               "mul",    flags="w=oc u=szap", access="r", reads="al", writes="ax"),
I("F7 /4",       "MUL Ev",               "mul",    flags="w=oc u=szap", access="r", reads="rax", writes="rax rdx"),
I("F6 /5",       "IMUL Eb",              "imul1",  flags="w=oc u=szap", access="r", reads="al", writes="ax"),
I("F7 /5",       "IMUL Ev",              "imul1",  flags="w=oc u=szap", access="r", reads="rax", writes="rax rdx"),
I("0F AF /r",    "IMUL Gv,Ev",           "imul2",  flags="w=oc u=szap"),
I("69 /r",       "IMUL Gv,Ev,Iz",        "imul3",  flags="w=oc u=szap", access="w"),
I("6B /r",       "IMUL Gv,Ev,Ibs",       "imul3",  flags="w=oc u=szap", access="w"),
I("F6 /6",       "DIV Eb",               "div",    flags="u=oszapc", access="r", reads="ax", writes="ax", faults="DE"),
I("F7 /6",       "DIV Ev",               "div",    flags="u=oszapc", access="r", reads="rax rdx", writes="rax rdx", faults="DE"),
I("F6 /7",       "IDIV Eb",              "idiv",   flags="u=oszapc", access="r", reads="ax", writes="ax", faults="DE"),
I("F7 /7",       "IDIV Ev",              "idiv",   flags="u=oszapc", access="r", reads="rax rdx", writes="rax rdx", faults="DE"),
# --- BCD -----------------------------------------------------------------------------------------------------
I("27 i64",      "DAA",                  "daa",    flags="w=szapc r=ac u=o", reads="al", writes="al"),
I("2F i64",      "DAS",                  "das",    flags="w=szapc r=ac u=o", reads="al", writes="al"),
I("37 i64",      "AAA",                  "aaa",    flags="w=ac r=a u=oszp", reads="ax", writes="ax"),
I("3F i64",      "AAS",                  "aas",    flags="w=ac r=a u=oszp", reads="ax", writes="ax"),
I("D4 i64",      "AAM Ib",               "aam",    flags="w=szp u=oac", access="r", reads="al", writes="ax", faults="DE"),
I("D5 i64",      "AAD Ib",               "aad",    flags="w=szp u=oac", access="r", reads="ax", writes="ax"),
I("D6 i64",      "SALC",                 "salc",   flags="r=c", writes="al", note="undocumented: AL = CF ? FFh : 0"),
# --- moves ---------------------------------------------------------------------------------------------------
I("88 /r",       "MOV Eb,Gb",            "mov",    access="w"),
I("89 /r",       "MOV Ev,Gv",            "mov",    access="w"),
I("8A /r",       "MOV Gb,Eb",            "mov",    access="w"),
I("8B /r",       "MOV Gv,Ev",            "mov",    access="w"),
I("A0",          "MOV AL,Ob",            "mov",    access="w"),
I("A1",          "MOV rAX,Ov",           "mov",    access="w"),
I("A2",          "MOV Ob,AL",            "mov",    access="w"),
I("A3",          "MOV Ov,rAX",           "mov",    access="w"),
I("B0+r",        "MOV Zb,Ib",            "mov",    access="w"),
I("B8+r",        "MOV Zv,Iv",            "mov",    access="w"),
I("C6 /0",       "MOV Eb,Ib",            "mov",    access="w"),
I("C7 /0",       "MOV Ev,Iz",            "mov",    access="w"),
I("0F B6 /r",    "MOVZX Gv,Eb",          "movzx",  access="w"),
I("0F B7 /r",    "MOVZX Gv,Ew",          "movzx",  access="w"),
I("0F BE /r",    "MOVSX Gv,Eb",          "movsx",  access="w"),
I("0F BF /r",    "MOVSX Gv,Ew",          "movsx",  access="w"),
I("63 /r o64",   "MOVSXD Gv,Ez",         "movsx",  access="w"),
I("8D /r",       "LEA Gv,M",             "lea",    access="w"),
I("86 /r",       "XCHG Eb,Gb",           "xchg",   access="rw,rw", lock=True),
I("87 /r",       "XCHG Ev,Gv",           "xchg",   access="rw,rw", lock=True),
I("90+r",        "XCHG Zv,rAX",          "xchg",   access="rw,rw"),
I("90 rexb0",    "NOP",                  "nop"),
I("F3 90 rexb0", "PAUSE",                "pause",  exit=exits.PAUSE.when(exits.PAUSE_EXITING)),
I("0F C0 /r",    "XADD Eb,Gb",           "xadd",   flags=ALL, access="rw,rw", lock=True),
I("0F C1 /r",    "XADD Ev,Gv",           "xadd",   flags=ALL, access="rw,rw", lock=True),
I("0F B0 /r",    "CMPXCHG Eb,Gb",        "cmpxchg", flags=ALL, reads="al", writes="al", lock=True),
I("0F B1 /r",    "CMPXCHG Ev,Gv",        "cmpxchg", flags=ALL, reads="rax", writes="rax", lock=True),
I("W0 0F C7 /1", "CMPXCHG8B Mq",         "cmpxchg8b", flags="w=z", reads="eax ebx ecx edx", writes="eax edx", lock=True, feature="CX8"),
I("REX.W 0F C7 /1", "CMPXCHG16B Mdq",    "cmpxchg16b", flags="w=z", reads="rax rbx rcx rdx", writes="rax rdx", lock=True, feature="CMPXCHG16B", faults="GP"),
I("0F C8+r",     "BSWAP Zv",             "bswap",  note="undefined for 16-bit operands"),
I("0F 40+cc /r",  "CMOVcc Gv,Ev",         "cmov",   access="rw", feature="CMOV"),
I("0F 90+cc /r",  "SETcc Eb",             "setcc",  access="w"),
I("98",          "CBW|CWDE|CDQE",        "cbw",    reads="rax", writes="rax", sized=True),
I("99",          "CWD|CDQ|CQO",          "cwd",    reads="rax", writes="rdx", sized=True),
I("D7",          "XLATB",                "xlat",   reads="rbx al [rbx+al]", writes="al"),
# --- stack ---------------------------------------------------------------------------------------------------
I("50+r d64",    "PUSH Zv",              "push",   access="r", reads=NEAR, writes="rsp [rsp]"),
I("58+r d64",    "POP Zv",               "pop",    access="w", reads="rsp [rsp]", writes=NEAR),
I("FF /6 d64",   "PUSH Ev",              "push",   access="r", reads=NEAR, writes="rsp [rsp]"),
I("8F /0 d64",   "POP Rv",               "pop",    access="w", reads="rsp [rsp]", writes=NEAR),
I("8F /0 d64",   "POP Mv",               "pop_memory", access="w", reads="rsp [rsp]", writes=NEAR),
I("68 d64",      "PUSH Iz",              "push_imm",  access="r", reads=NEAR, writes="rsp [rsp]"),
I("6A d64",      "PUSH Ibs",             "push_imm",  access="r", reads=NEAR, writes="rsp [rsp]", sized=True),
I("06 i64",      "PUSH ES",              "push_seg", access="r", reads=NEAR, writes="rsp [rsp]", sized=True),
I("0E i64",      "PUSH CS",              "push_seg", access="r", reads="rsp cpl", writes="rsp [rsp]", sized=True),
I("16 i64",      "PUSH SS",              "push_seg", access="r", reads="rsp cpl", writes="rsp [rsp]", sized=True),
I("1E i64",      "PUSH DS",              "push_seg", access="r", reads=NEAR, writes="rsp [rsp]", sized=True),
I("0F A0 d64",   "PUSH FS",              "push_seg", access="r", reads=NEAR, writes="rsp [rsp]", sized=True),
I("0F A8 d64",   "PUSH GS",              "push_seg", access="r", reads=NEAR, writes="rsp [rsp]", sized=True),
I("07 i64",      "POP ES",               "pop_seg", access="w", reads="rsp [rsp] cpl descriptor", writes=NEAR, faults="GP NP", sized=True),
I("17 i64",      "POP SS",               "pop_seg", access="w", reads="rsp [rsp] cpl descriptor", writes=NEAR, faults="GP SS", sized=True, note="holds interrupts off for one instruction"),
I("1F i64",      "POP DS",               "pop_seg", access="w", reads="rsp [rsp] cpl descriptor", writes=NEAR, faults="GP NP", sized=True),
I("0F A1 d64",   "POP FS",               "pop_seg", access="w", reads="rsp [rsp] cpl descriptor", writes=NEAR, faults="GP NP", sized=True),
I("0F A9 d64",   "POP GS",               "pop_seg", access="w", reads="rsp [rsp] cpl descriptor", writes=NEAR, faults="GP NP", sized=True),
I("60 i64",      "PUSHA|PUSHAD",         "pusha",  reads="rax rcx rdx rbx rsp rbp rsi rdi", writes="rsp [rsp]", sized=True),
I("61 i64",      "POPA|POPAD",           "popa",   reads="rsp [rsp]", writes="rax rcx rdx rbx rsp rbp rsi rdi", sized=True),
I("9C d64",      "PUSHF|PUSHFD|PUSHFQ",  "pushf",  flags="r=*", reads="rsp if iopl", writes="rsp [rsp]", priv=IOPL_V86, sized=True),
I("9D d64",      "POPF|POPFD|POPFQ",     "popf",   flags="w=*", reads="rsp [rsp] cpl iopl", writes="rsp if iopl", priv=IOPL_V86, sized=True,
  note="outside virtual-8086 mode never faults: drops IF and IOPL where CPL forbids them"),
I("C8 d64",      "ENTER Iw,Ib",          "enter",  access="r,r", reads="rsp rbp", writes="rsp rbp [rsp]", sized=True),
I("C9 d64",      "LEAVE",                "leave",  reads="rbp [rbp]", writes="rsp rbp", sized=True),
# --- shifts, rotates, bits -----------------------------------------------------------------------------------
*shifts(0, "ROL", "rol", ROTATE),
*shifts(1, "ROR", "ror", ROTATE),
*shifts(2, "RCL", "rcl", ROTATE + " r=c"),
*shifts(3, "RCR", "rcr", ROTATE + " r=c"),
*shifts(4, "SHL", "shl", SHIFT),
*shifts(5, "SHR", "shr", SHIFT),
*shifts(6, "SHL", "shl", SHIFT, note="alias of /4"),
*shifts(7, "SAR", "sar", SHIFT),
I("0F A4 /r",    "SHLD Ev,Gv,Ib",        "shld",   flags=SHIFT),
I("0F A5 /r",    "SHLD Ev,Gv,CL",        "shld",   flags=SHIFT),
I("0F AC /r",    "SHRD Ev,Gv,Ib",        "shrd",   flags=SHIFT),
I("0F AD /r",    "SHRD Ev,Gv,CL",        "shrd",   flags=SHIFT),
I("0F A3 /r",    "BT Rv,Gv",              "bt",     flags="w=c u=osap", access="r"),
I("0F A3 /r",    "BT Mv,Gv",              "bt_memory", flags="w=c u=osap", access="r", note="a register offset reaches beyond the operand in memory"),
I("0F AB /r",    "BTS Rv,Gv",             "bts",    flags="w=c u=osap"),
I("0F AB /r",    "BTS Mv,Gv",             "bts_memory", flags="w=c u=osap", lock=True, note="a register offset reaches beyond the operand in memory"),
I("0F B3 /r",    "BTR Rv,Gv",             "btr",    flags="w=c u=osap"),
I("0F B3 /r",    "BTR Mv,Gv",             "btr_memory", flags="w=c u=osap", lock=True, note="a register offset reaches beyond the operand in memory"),
I("0F BB /r",    "BTC Rv,Gv",             "btc",    flags="w=c u=osap"),
I("0F BB /r",    "BTC Mv,Gv",             "btc_memory", flags="w=c u=osap", lock=True, note="a register offset reaches beyond the operand in memory"),
I("0F BA /4",    "BT Ev,Ib",             "bt",     flags="w=c u=osap", access="r"),
I("0F BA /5",    "BTS Ev,Ib",            "bts",    flags="w=c u=osap", lock=True),
I("0F BA /6",    "BTR Ev,Ib",            "btr",    flags="w=c u=osap", lock=True),
I("0F BA /7",    "BTC Ev,Ib",            "btc",    flags="w=c u=osap", lock=True),
I("0F BC /r",    "BSF Gv,Ev",            "bsf",    flags="w=z u=osapc", note="destination kept if the source is 0"),
I("0F BD /r",    "BSR Gv,Ev",            "bsr",    flags="w=z u=osapc", note="destination kept if the source is 0"),
I("F3 0F BC /r", "TZCNT Gv,Ev",          "tzcnt",  flags="w=zc u=osap", access="w", feature="BMI1"),
I("F3 0F BD /r", "LZCNT Gv,Ev",          "lzcnt",  flags="w=zc u=osap", access="w", feature="LZCNT"),
I("F3 0F B8 /r", "POPCNT Gv,Ev",         "popcnt", flags="w=z 0=osapc", access="w", feature="POPCNT"),
# --- control transfer ----------------------------------------------------------------------------------------
I("E8 f64",      "CALL Jz",              "call_near", access="r", reads=NEAR, writes="rip rsp [rsp]"),
I("FF /2 f64",   "CALL Ev",              "call_indirect", access="r", reads=NEAR, writes="rip rsp [rsp]"),
I("C3 f64",      "RET",                  "ret",    reads="rsp [rsp]", writes="rip rsp", sized=True),
I("C2 f64",      "RET Iw",               "ret_imm",   access="r", reads="rsp [rsp]", writes="rip rsp", sized=True),
I("E9 f64",      "JMP Jz",               "jmp",    access="r", writes="rip"),
I("EB f64",      "JMP Jb",               "jmp",    access="r", writes="rip"),
I("FF /4 f64",   "JMP Ev",               "jmp_indirect", access="r", writes="rip"),
I("70+cc f64",    "Jcc Jb",               "jcc",    access="r", writes="rip"),
I("0F 80+cc f64", "Jcc Jz",               "jcc",    access="r", writes="rip"),
I("E0 f64",      "LOOPNE Jb",            "loopne", flags="r=z", access="r", reads="rcx", writes="rcx rip"),
I("E1 f64",      "LOOPE Jb",             "loope",  flags="r=z", access="r", reads="rcx", writes="rcx rip"),
I("E2 f64",      "LOOP Jb",              "loop",   access="r", reads="rcx", writes="rcx rip"),
I("a16 E3 f64",  "JCXZ Jb",              "jcxz",   access="r", reads="cx", writes="rip"),
I("a32 E3 f64",  "JECXZ Jb",             "jcxz",   access="r", reads="ecx", writes="rip"),
I("a64 E3 f64",  "JRCXZ Jb",             "jcxz",   access="r", reads="rcx", writes="rip"),
# --- strings; REP is a fact of the decoded instruction -------------------------------------------------------
I("A4",          "MOVS Yb,Xb",           "movs",   flags="r=d", access="w,r", reads="rsi rdi", writes="rsi rdi"),
I("A5",          "MOVS Yv,Xv",           "movs",   flags="r=d", access="w,r", reads="rsi rdi", writes="rsi rdi"),
I("A6",          "CMPS Xb,Yb",           "cmps",   flags=ALL + " r=d", access="r,r", reads="rsi rdi", writes="rsi rdi"),
I("A7",          "CMPS Xv,Yv",           "cmps",   flags=ALL + " r=d", access="r,r", reads="rsi rdi", writes="rsi rdi"),
I("AA",          "STOS Yb,AL",           "stos",   flags="r=d", access="w,r", reads="rdi", writes="rdi"),
I("AB",          "STOS Yv,rAX",          "stos",   flags="r=d", access="w,r", reads="rdi", writes="rdi"),
I("AC",          "LODS AL,Xb",           "lods",   flags="r=d", access="w,r", reads="rsi", writes="rsi"),
I("AD",          "LODS rAX,Xv",          "lods",   flags="r=d", access="w,r", reads="rsi", writes="rsi"),
I("AE",          "SCAS AL,Yb",           "scas",   flags=ALL + " r=d", access="r,r", reads="rdi", writes="rdi"),
I("AF",          "SCAS rAX,Yv",          "scas",   flags=ALL + " r=d", access="r,r", reads="rdi", writes="rdi"),
I("6C",          "INS Yb,DX",            "ins",    flags="r=d", access="w,r", reads="rdi cpl iopl", writes="rdi", priv=IOPL_OR_BITMAP, exit=exits.IO.when(IO_EXITING)),
I("6D",          "INS Yz,DX",            "ins",    flags="r=d", access="w,r", reads="rdi cpl iopl", writes="rdi", priv=IOPL_OR_BITMAP, exit=exits.IO.when(IO_EXITING)),
I("6E",          "OUTS DX,Xb",           "outs",   flags="r=d", access="r,r", reads="rsi cpl iopl", writes="rsi io", priv=IOPL_OR_BITMAP, exit=exits.IO.when(IO_EXITING)),
I("6F",          "OUTS DX,Xz",           "outs",   flags="r=d", access="r,r", reads="rsi cpl iopl", writes="rsi io", priv=IOPL_OR_BITMAP, exit=exits.IO.when(IO_EXITING)),
# --- flags ---------------------------------------------------------------------------------------------------
I("F5",          "CMC",                  "cmc",    flags="w=c r=c"),
I("F8",          "CLC",                  "clc",    flags="0=c"),
I("F9",          "STC",                  "stc",    flags="1=c"),
I("FC",          "CLD",                  "cld",    flags="0=d"),
I("FD",          "STD",                  "std",    flags="1=d"),
I("9E",          "SAHF",                 "sahf",   flags="w=szapc", reads="ah", feature="LAHF"),
I("9F",          "LAHF",                 "lahf",   flags="r=szapc", writes="ah", feature="LAHF"),
# --- others --------------------------------------------------------------------------------------------------
I("62 /r i64",   "BOUND Gv,Ma",          "bound",  access="r,r", faults="BR"),
I("0F 0B",       "UD2",                  "ud",     faults="UD"),
I("0F B9 /r",    "UD1 Gv,Ev",            "ud",     access="r,r", faults="UD"),
I("0F FF /r",    "UD0 Gv,Ev",            "ud",     access="r,r", faults="UD"),
# reserved NOPs: hints that need no feature, and what later CPUs made of some of them (SDM vol. 2, appendix A, table A-3)
I("0F 0D /r",    "NOP Ev,Gv",    "nop",    access="r,r"),
I("0F 0D /1",    "PREFETCHW Mb",         "nop",    access="r"),
I("0F 0D /0",    "PREFETCH Mb",          "nop",    access="r"),
I("0F 0D /2",    "PREFETCHWT1 Mb",       "nop",    access="r"),
I("0F 0D /3",    "PREFETCHW Mb",         "nop",    access="r", note="alias of /1"),
*(I(f"0F 0D /{n}", "PREFETCH Mb",        "nop",    access="r", note="alias of /0") for n in (4, 5, 6, 7)),
I("0F 18 /6",    "PREFETCHIT1 Mb",       "nop",    access="r"),
I("0F 18 /7",    "PREFETCHIT0 Mb",       "nop",    access="r"),
I("0F 18 /r",    "NOP Ev,Gv",    "nop",    access="r,r"),
I("0F 18 /0",    "PREFETCHNTA Mb",       "nop",    access="r"),
I("0F 18 /1",    "PREFETCHT0 Mb",        "nop",    access="r"),
I("0F 18 /2",    "PREFETCHT1 Mb",        "nop",    access="r"),
I("0F 18 /3",    "PREFETCHT2 Mb",        "nop",    access="r"),
*(I(f"0F {b:02X} /r", "NOP Ev,Gv", "nop",  access="r,r") for b in range(0x19, 0x1F)),
I("0F 1F /r",    "NOP Ev,Gv",    "nop",    access="r,r"),
I("0F 1F /0",    "NOP Ev",               "nop",    access="r"),
I("F3 0F 1E FA", "ENDBR64",              "nop",    feature="CET_IBT", hint=True, note="a NOP where indirect-branch tracking is off or absent"),
I("F3 0F 1E FB", "ENDBR32",              "nop",    feature="CET_IBT", hint=True, note="a NOP where indirect-branch tracking is off or absent"),
I("F3 0F 1E /1", "RDSSPD|RDSSPQ Ry", "nop", access="rw", feature="CET_SS", hint=True, note="a NOP without shadow stacks"),
# --- later integer extensions in the legacy maps -------------------------------------------------------------
I("NFx 0F 38 F0 /r", "MOVBE Gv,Mv",      "movbe",  access="w", feature="MOVBE"),
I("NFx 0F 38 F1 /r", "MOVBE Mv,Gv",      "movbe",  access="w", feature="MOVBE"),
I("F2 0F 38 F0 /r", "CRC32 Gy,Eb",       "crc32",  feature="SSE4_2"),
I("F2 0F 38 F1 /r", "CRC32 Gy,Ev",       "crc32",  feature="SSE4_2"),
I("66 0F 38 F6 /r", "ADCX Gy,Ey",        "adcx",   flags="w=c r=c", feature="ADX"),
I("F3 0F 38 F6 /r", "ADOX Gy,Ey",        "adox",   flags="w=o r=o", feature="ADX"),
I("NP 0F 38 F9 /r", "MOVDIRI My,Gy",     "movdiri", access="w", feature="MOVDIRI"),
I("NP 0F C3 /r", "MOVNTI My,Gy",         "mov",    access="w", feature="SSE2"),
I("NFx 0F C7 /6", "RDRAND Rv",           "rdrand", flags="w=c 0=oszap", access="w", feature="RDRAND", exit=exits.RDRAND.when(exits.RDRAND_EXITING)),
I("NFx 0F C7 /7", "RDSEED Rv",           "rdseed", flags="w=c 0=oszap", access="w", feature="RDSEED", exit=exits.RDSEED.when(exits.RDSEED_EXITING)),
]
# fmt: on
