"""x87 (SDM vol. 1, chapter 8), with the aliases that CPUs accept and no manual lists.  Notation: isa/row.py."""

from isa.row import I

# fmt: off


def arithmetic():
    """The eight operations of D8, DC, DE and DA: memory of three kinds, ST with ST(i), ST(i) with ST, and popping."""
    for digit, name in enumerate("ADD MUL COM COMP SUB SUBR DIV DIVR".split()):
        sem, compare = "f" + name.lower(), name.startswith("COM")
        access = "r" if compare else "rw"
        yield I(f"D8 /{digit}", f"F{name} Md", sem, access="r", reads="st0", writes="" if compare else "st0", feature="FPU", faults="MF")
        yield I(f"DC /{digit}", f"F{name} Mq", sem, access="r", reads="st0", writes="" if compare else "st0", feature="FPU", faults="MF")
        integer = "fi" + name.lower()
        yield I(f"DA /{digit}", f"FI{name} Md", integer, access="r", reads="st0", writes="" if compare else "st0", feature="FPU", faults="MF")
        yield I(f"DE /{digit}", f"FI{name} Mw", integer, access="r", reads="st0", writes="" if compare else "st0", feature="FPU", faults="MF")
        if compare:
            yield I(f"D8 {0xC0 + digit * 8:02X}+i", f"F{name} STi", sem + "_st", access="r", reads="st0", feature="FPU", faults="MF")
            yield I(f"DC {0xC0 + digit * 8:02X}+i", f"F{name} STi", sem + "_st", access="r", reads="st0", feature="FPU", faults="MF", note="alias")
        else:
            mirrored = digit ^ (digit >= 4)  # DC and DE have the reversed operations in each other's place
            yield I(f"D8 {0xC0 + digit * 8:02X}+i", f"F{name} ST,STi", sem + "_st", access=access, feature="FPU", faults="MF")
            yield I(f"DC {0xC0 + mirrored * 8:02X}+i", f"F{name} STi,ST", sem + "_st", access=access, feature="FPU", faults="MF")
            yield I(f"DE {0xC0 + mirrored * 8:02X}+i", f"F{name}P STi,ST", sem + "p", access=access, feature="FPU", faults="MF")


def nullary(opcode, name, sem="", reads="st0", writes="st0", feature="FPU", **facts):
    """A D9 operation on the top of the stack."""
    return I(opcode, name, sem or name.lower(), reads=reads, writes=writes, feature=feature, faults="MF", **facts)


ROWS = [
*arithmetic(),
# --- loads and stores ----------------------------------------------------------------------------------------
I("D9 /0",    "FLD Md",        "fld",     access="r", writes="st0", feature="FPU", faults="MF"),
I("DD /0",    "FLD Mq",        "fld",     access="r", writes="st0", feature="FPU", faults="MF"),
I("DB /5",    "FLD Mt",        "fld80",   access="r", writes="st0", feature="FPU", faults="MF"),
I("D9 C0+i",  "FLD STi",       "fld_st",  access="r", writes="st0", feature="FPU", faults="MF"),
I("D9 /2",    "FST Md",        "fst",     access="w", reads="st0", feature="FPU", faults="MF"),
I("DD /2",    "FST Mq",        "fst",     access="w", reads="st0", feature="FPU", faults="MF"),
I("DD D0+i",  "FST STi",       "fst_st",  access="w", reads="st0", feature="FPU", faults="MF"),
I("D9 /3",    "FSTP Md",       "fstp",    access="w", reads="st0", feature="FPU", faults="MF"),
I("DD /3",    "FSTP Mq",       "fstp",    access="w", reads="st0", feature="FPU", faults="MF"),
I("DB /7",    "FSTP Mt",       "fstp80",  access="w", reads="st0", feature="FPU", faults="MF"),
I("DD D8+i",  "FSTP STi",      "fstp_st", access="w", reads="st0", feature="FPU", faults="MF"),
I("D9 D8+i",  "FSTP STi",      "fstpnce", access="w", reads="st0", feature="FPU", faults="MF", note="undocumented: FSTP without the stack-underflow check"),
I("DF D0+i",  "FSTP STi",      "fstp_st", access="w", reads="st0", feature="FPU", faults="MF", note="alias"),
I("DF D8+i",  "FSTP STi",      "fstp_st", access="w", reads="st0", feature="FPU", faults="MF", note="alias"),
I("DF /0",    "FILD Mw",       "fild",    access="r", writes="st0", feature="FPU", faults="MF"),
I("DB /0",    "FILD Md",       "fild",    access="r", writes="st0", feature="FPU", faults="MF"),
I("DF /5",    "FILD Mq",       "fild",    access="r", writes="st0", feature="FPU", faults="MF"),
I("DF /2",    "FIST Mw",       "fist",    access="w", reads="st0", feature="FPU", faults="MF"),
I("DB /2",    "FIST Md",       "fist",    access="w", reads="st0", feature="FPU", faults="MF"),
I("DF /3",    "FISTP Mw",      "fistp",   access="w", reads="st0", feature="FPU", faults="MF"),
I("DB /3",    "FISTP Md",      "fistp",   access="w", reads="st0", feature="FPU", faults="MF"),
I("DF /7",    "FISTP Mq",      "fistp",   access="w", reads="st0", feature="FPU", faults="MF"),
I("DF /1",    "FISTTP Mw",     "fisttp",  access="w", reads="st0", feature="FPU+SSE3", faults="MF"),
I("DB /1",    "FISTTP Md",     "fisttp",  access="w", reads="st0", feature="FPU+SSE3", faults="MF"),
I("DD /1",    "FISTTP Mq",     "fisttp",  access="w", reads="st0", feature="FPU+SSE3", faults="MF"),
I("DF /4",    "FBLD Mt",       "fbld",    access="r", writes="st0", feature="FPU", faults="MF"),
I("DF /6",    "FBSTP Mt",      "fbstp",   access="w", reads="st0", feature="FPU", faults="MF"),
I("D9 C8+i",  "FXCH STi",      "fxch",    access="rw", reads="st0", writes="st0", feature="FPU", faults="MF"),
I("DD C8+i",  "FXCH STi",      "fxch",    access="rw", reads="st0", writes="st0", feature="FPU", faults="MF", note="alias"),
I("DF C8+i",  "FXCH STi",      "fxch",    access="rw", reads="st0", writes="st0", feature="FPU", faults="MF", note="alias"),
# --- conditional moves and compares --------------------------------------------------------------------------
I("DA C0+i",  "FCMOVB ST,STi",  "fcmov",  cc=2, access="rw", flags="r=c",  feature="FPU+CMOV", faults="MF"),
I("DA C8+i",  "FCMOVE ST,STi",  "fcmov",  cc=4, access="rw", flags="r=z",  feature="FPU+CMOV", faults="MF"),
I("DA D0+i",  "FCMOVBE ST,STi", "fcmov",  cc=6, access="rw", flags="r=cz", feature="FPU+CMOV", faults="MF"),
I("DA D8+i",  "FCMOVU ST,STi",  "fcmov",  cc=10, access="rw", flags="r=p",  feature="FPU+CMOV", faults="MF"),
I("DB C0+i",  "FCMOVNB ST,STi", "fcmov",  cc=3, access="rw", flags="r=c",  feature="FPU+CMOV", faults="MF"),
I("DB C8+i",  "FCMOVNE ST,STi", "fcmov",  cc=5, access="rw", flags="r=z",  feature="FPU+CMOV", faults="MF"),
I("DB D0+i",  "FCMOVNBE ST,STi", "fcmov", cc=7, access="rw", flags="r=cz", feature="FPU+CMOV", faults="MF"),
I("DB D8+i",  "FCMOVNU ST,STi", "fcmov",  cc=11, access="rw", flags="r=p",  feature="FPU+CMOV", faults="MF"),
I("DB F0+i",  "FCOMI ST,STi",  "fcomi",   access="r", flags="w=zpc 0=osa", feature="FPU+CMOV", faults="MF"),
I("DB E8+i",  "FUCOMI ST,STi", "fucomi",  access="r", flags="w=zpc 0=osa", feature="FPU+CMOV", faults="MF"),
I("DF F0+i",  "FCOMIP ST,STi", "fcomip",  access="r", flags="w=zpc 0=osa", feature="FPU+CMOV", faults="MF"),
I("DF E8+i",  "FUCOMIP ST,STi", "fucomip", access="r", flags="w=zpc 0=osa", feature="FPU+CMOV", faults="MF"),
I("DD E0+i",  "FUCOM STi",     "fucom",   access="r", reads="st0", feature="FPU", faults="MF"),
I("DD E8+i",  "FUCOMP STi",    "fucomp",  access="r", reads="st0", feature="FPU", faults="MF"),
I("DA E9",    "FUCOMPP",       "fucompp", reads="st0 st1", feature="FPU", faults="MF"),
I("DE D9",    "FCOMPP",        "fcompp",  reads="st0 st1", feature="FPU", faults="MF"),
I("DE D0+i",  "FCOMP STi",     "fcomp_st", access="r", reads="st0", feature="FPU", faults="MF", note="alias"),
# --- the top of the stack ------------------------------------------------------------------------------------
nullary("D9 D0", "FNOP", reads="", writes=""),
nullary("D9 E0", "FCHS"), nullary("D9 E1", "FABS"), nullary("D9 E4", "FTST", writes=""), nullary("D9 E5", "FXAM", writes=""),
nullary("D9 E8", "FLD1", "fldconst", reads="", cc=0), nullary("D9 E9", "FLDL2T", "fldconst", reads="", cc=1), nullary("D9 EA", "FLDL2E", "fldconst", reads="", cc=2),
nullary("D9 EB", "FLDPI", "fldconst", reads="", cc=3), nullary("D9 EC", "FLDLG2", "fldconst", reads="", cc=4), nullary("D9 ED", "FLDLN2", "fldconst", reads="", cc=5),
nullary("D9 EE", "FLDZ", "fldconst", reads="", cc=6),
nullary("D9 F0", "F2XM1"), nullary("D9 F1", "FYL2X", reads="st0 st1"), nullary("D9 F2", "FPTAN"), nullary("D9 F3", "FPATAN", reads="st0 st1"),
nullary("D9 F4", "FXTRACT"), nullary("D9 F5", "FPREM1", reads="st0 st1"), nullary("D9 F6", "FDECSTP", reads="", writes="top"),
nullary("D9 F7", "FINCSTP", reads="", writes="top"), nullary("D9 F8", "FPREM", reads="st0 st1"), nullary("D9 F9", "FYL2XP1", reads="st0 st1"),
nullary("D9 FA", "FSQRT"), nullary("D9 FB", "FSINCOS"), nullary("D9 FC", "FRNDINT"), nullary("D9 FD", "FSCALE", reads="st0 st1"),
nullary("D9 FE", "FSIN"), nullary("D9 FF", "FCOS"),
# --- control -------------------------------------------------------------------------------------------------
I("DD C0+i",  "FFREE STi",     "ffree",   access="w", feature="FPU", faults="MF"),
I("DF C0+i",  "FFREEP STi",    "ffreep",  access="w", feature="FPU", faults="MF", note="undocumented: FFREE and pop"),
I("D9 /4",    "FLDENV Me",     "fldenv",  access="r", feature="FPU", faults="MF", sized=True),
I("D9 /5",    "FLDCW Mw",      "fldcw",   access="r", feature="FPU", faults="MF"),
I("D9 /6",    "FNSTENV Me",    "fnstenv", access="w", feature="FPU", sized=True),
I("D9 /7",    "FNSTCW Mw",     "fnstcw",  access="w", feature="FPU"),
I("DD /4",    "FRSTOR Me",     "frstor",  access="r", feature="FPU", faults="MF", sized=True),
I("DD /6",    "FNSAVE Me",     "fnsave",  access="w", feature="FPU", sized=True),
I("DD /7",    "FNSTSW Mw",     "fnstsw",  access="w", feature="FPU"),
I("DF E0",    "FNSTSW AX",     "fnstsw",  access="w", feature="FPU"),
I("DB E0",    "FNENI",         "fneni",   feature="FPU", note="8087 only: a no-operation since"),
I("DB E1",    "FNDISI",        "fneni",   feature="FPU", note="8087 only: a no-operation since"),
I("DB E2",    "FNCLEX",        "fnclex",  feature="FPU"),
I("DB E3",    "FNINIT",        "fninit",  feature="FPU"),
I("DB E4",    "FNSETPM",       "fneni",   feature="FPU", note="80287 only: a no-operation since"),
]
# fmt: on
