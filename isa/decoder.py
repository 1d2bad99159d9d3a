"""The decoder: one function over flat tables, in the word language, so that it runs as it is and compiled.

    prefixes -> opcode map and opcode -> ModRM -> the row whose (mask, value) fits the key -> form -> SIB,
    displacement, immediates -> register numbers -> legality

`decode_into` fills a `Decoded` and returns the length, 0 for no instruction: `Decoded.reason` then says why.
The tables are made in isa/tables_flat.py.  Where CPUs differ, this is a current Intel CPU (SDM vol. 2, chapter 2).
"""

from isa.decoding import (  # isort: skip
    ABORT, ALL_DISTINCT, BCST_SHIFT, CR, DISP_SHIFT, DR, Decoded, ENTER, FACTS, FAR, FIRST_DISTINCT, FIXED, FIXED_AT, FLAGS,
    GPR8_OPCODE, GPR8_REG, GPR8_RM, GPR_OPCODE, GPR_REG, GPR_RM, HAS_DEFAULT64, HAS_FORCED64, HAS_IGNORED_MOD, IMM16, IMM8,
    IMMEDIATE, IS4, LOCKABLE, LOW_REG, LOW_RM, MASK_NEEDED, MASK_OK, MASK_REG, MASK_RM, MASK_VVVV, MOFFS, NEEDS_SIB, NO_FORM,
    NO_REGISTER, NO_SEGMENT, PREFIX_66, PREFIX_67, PREFIX_LOCK, PREFIX_REP, PREFIX_REX, REL, REL8, ROUNDING, SEG_REG,
    SEG_REG_WRITTEN, SIGNED8, SOURCES, SUPPRESSING, TILE_RM, TOO_LONG, TRUNCATED, UNDEFINED, UNIT, VALUE, VECTOR_REG, VECTOR_RM,
    VECTOR_VVVV, VSIB, VVVV, VVVV_USED, WHOLE, ZEROING_OK,
)  # fmt: skip
from isa.lang.struct import words8, words16, words32
from isa.lang.word import U8, U16, U32, U64, sx


def failed(out, reason):
    """No instruction, because of `reason`."""
    out.length = U8(0)
    out.reason = U8(reason)
    return U64(0)


def cut_short(out, end):
    """The bytes ended at `end`: either there are no more, or an instruction may not have more."""
    if end == 15:
        return failed(out, U64(TOO_LONG))
    return failed(out, U64(TRUNCATED))


def signed_bytes(text, at, size):
    """`size` bytes (0, 1, 2, 4 or 8) as a number, sign-extended to 64 bits."""
    if size == 1:
        return sx(text[at])
    if size == 2:
        return sx(U16(text[at]) | U16(text[at + 1]) << 8)
    if size == 0:
        return U64(0)
    low = U32(text[at]) | U32(text[at + 1]) << 8 | U32(text[at + 2]) << 16 | U32(text[at + 3]) << 24
    if size == 4:
        return sx(low)
    high = U32(text[at + 4]) | U32(text[at + 5]) << 8 | U32(text[at + 6]) << 16 | U32(text[at + 7]) << 24
    return U64(high) << 32 | U64(low)


def width_mask(bits):
    """All ones in the low `bits` (16, 32 or 64) bits."""
    return U64(0xFFFFFFFFFFFFFFFF) >> (64 - bits)


def gpr8(number, rex):
    """A byte register: 20..23 are AH CH DH BH, which exist without REX only."""
    if rex == 0 and number >= 4:
        return number + 16
    return number


def register(source, fixed, reg, rm, opcode, vvvv, is4, rex, r, x, x4, b, r4):
    """The register number of an operand; NO_REGISTER if the encoding names none that exists."""
    if source == GPR_REG:
        if r4 != 0:
            return U64(NO_REGISTER)
        return reg | r << 3
    if source == GPR_RM:
        return rm | b << 3
    if source == GPR8_REG:
        return gpr8(reg | r << 3, rex)
    if source == GPR8_RM:
        return gpr8(rm | b << 3, rex)
    if source == FIXED:
        return fixed
    if source == VECTOR_REG:
        return reg | r << 3 | r4 << 4
    if source == VECTOR_RM:
        return rm | b << 3 | x4 << 4
    if source == VECTOR_VVVV:
        return vvvv
    if source == GPR_OPCODE:
        return opcode & 7 | b << 3
    if source == GPR8_OPCODE:
        return gpr8(opcode & 7 | b << 3, rex)
    if source == LOW_REG:
        return reg
    if source == LOW_RM:
        return rm
    if source == VVVV:
        return vvvv & 15
    if source == IS4:
        return is4 >> 4
    if source == MASK_RM:
        return rm
    if source == CR:  # CR0 CR2 CR3 CR4 CR8 exist
        if U64(0x11D) >> (reg | r << 3) & 1 == 0:
            return U64(NO_REGISTER)
        return reg | r << 3
    if source == DR:
        if r != 0:
            return U64(NO_REGISTER)
        return reg
    if source == MASK_REG:
        if r != 0 or r4 != 0:
            return U64(NO_REGISTER)
        return reg
    if source == TILE_RM:
        if x != 0 or b != 0:
            return U64(NO_REGISTER)
        return rm
    if source == MASK_VVVV:
        if vvvv > 7:
            return U64(NO_REGISTER)
        return vvvv
    if source == SEG_REG or source == SEG_REG_WRITTEN:
        if reg > 5 or (source == SEG_REG_WRITTEN and reg == 1):
            return U64(NO_REGISTER)
        return reg
    return U64(NO_REGISTER)


def decode_into(t, code, limit, bits, ip, out):
    """Decode the instruction at host address `code`, of which `limit` bytes can be read.

    bits: 16, 32 or 64 (the code segment's default, or long mode).  ip: the instruction's offset in its segment.
    Returns its length in bytes; 0 if there is none (out.reason: UNDEFINED is #UD, TOO_LONG is #GP(0), TRUNCATED
    wants bytes beyond `limit`).
    """
    text = words8(code)
    end = U64(15)
    if limit < 15:
        end = limit
    long = bits == 64

    # ---- prefixes; REX counts only right before the opcode
    at, byte, rex = U64(0), U64(0), U64(0)
    p66, p67, rep, lock, seg = U64(0), U64(0), U64(0), U64(0), U64(NO_SEGMENT)
    kinds = words8(t.prefixes)
    while True:
        if at >= end:
            return cut_short(out, end)
        byte = U64(text[at])
        at = at + 1
        kind = U64(kinds[byte])
        if kind == 0:
            break
        if kind == PREFIX_REX:
            if not long:
                break
            rex = byte
            continue
        rex = U64(0)
        if kind == PREFIX_66:
            p66 = U64(1)
        elif kind == PREFIX_67:
            p67 = U64(1)
        elif kind == PREFIX_REP:
            rep = byte
        elif kind == PREFIX_LOCK:
            lock = U64(1)
        elif not long or kind >= 5:  # the segments other than FS and GS are ignored in 64-bit mode
            seg = kind - 1

    # ---- opcode map, opcode, and what REX, VEX or EVEX carry
    w, r, x, b = rex >> 3 & 1, rex >> 2 & 1, rex >> 1 & 1, rex & 1
    r4, v, vl, aaa, z, evex_b = U64(0), U64(0), U64(0), U64(0), U64(0), U64(0)
    pp = p66
    if rep != 0:
        pp = U64(0xF5) - rep  # F3: 2, F2: 3
    group = U64(0)
    vector = U64(0)  # 1 VEX, 2 EVEX
    if byte == 0x0F:
        if at >= end:
            return cut_short(out, end)
        byte = U64(text[at])
        at = at + 1
        group = U64(1)
        if byte == 0x38 or byte == 0x3A:
            group = (byte >> 1 & 1) + 2
            if at >= end:
                return cut_short(out, end)
            byte = U64(text[at])
            at = at + 1
    elif byte == 0xC4 or byte == 0xC5 or byte == 0x62:
        if at >= end:
            return cut_short(out, end)
        first = U64(text[at])
        if long or first >= 0xC0:
            vector = U64(1)
            if rex != 0 or p66 != 0 or rep != 0 or lock != 0:
                return failed(out, U64(UNDEFINED))
            size = U64(2)  # payload and opcode
            if byte == 0xC4:
                size = U64(3)
            elif byte == 0x62:
                size = U64(4)
            if at + size > end:
                return cut_short(out, end)
            last = first  # the byte with vvvv and pp
            opmap = U64(1)
            r = first >> 7 ^ 1
            if byte != 0xC5:
                last = U64(text[at + 1])
                x, b, w = first >> 6 & 1 ^ 1, first >> 5 & 1 ^ 1, last >> 7
                opmap = first & 31
            vl = last >> 2 & 1
            v = last >> 3 & 15 ^ 15
            pp = last & 3
            group = U64(8)
            if byte == 0x62:
                third = U64(text[at + 2])
                if first & 8 != 0 or last & 4 == 0:
                    return failed(out, U64(UNDEFINED))
                opmap = first & 7
                vector, group = U64(2), U64(16)
                r4 = first >> 4 & 1 ^ 1
                v = v | (third >> 3 & 1 ^ 1) << 4
                vl, evex_b, z, aaa = third >> 5 & 3, third >> 4 & 1, third >> 7, third & 7
            if opmap > 7:
                return failed(out, U64(UNDEFINED))
            if not long:
                r, x, b, r4 = U64(0), U64(0), U64(0), U64(0)
            group = group + opmap
            byte = U64(text[at + size - 1])
            at = at + size
    x4 = x  # in EVEX, X extends a vector register in r/m
    if vector != 2:
        x4 = U64(0)
    opcode = byte
    entry = group << 8 | opcode
    candidates = U64(words8(t.counts)[entry])
    if candidates == 0:
        return failed(out, U64(UNDEFINED))
    modrm = U64(0)
    has_modrm = words8(t.modrms)[entry] != 0
    if has_modrm:
        if at >= end:
            return cut_short(out, end)
        modrm = U64(text[at])
        at = at + 1
    mod, reg, rm = modrm >> 6, modrm >> 3 & 7, modrm & 7

    # ---- sizes, the decode key, and the row that fits it
    osel, asel = U64(1), U64(1)  # 0, 1, 2: 16, 32, 64
    if bits == 16:
        osel, asel = p66, p67
    elif long:
        osel, asel = U64(1) - p66, U64(2) - p67
        if w != 0:
            osel = U64(2)
    else:
        osel, asel = U64(1) - p66, U64(1) - p67
    mode = bits >> 5
    in_register = U64(mod == 3)
    key = pp | mode << 2 | w << 4 | in_register << 5 | reg << 6 | rm << 9
    key = key | osel << 12 | asel << 14 | vl << 16 | b << 18 | evex_b << 19
    row = U64(words16(t.starts)[entry])
    stop = row + candidates
    masks, values = words32(t.masks), words32(t.values)
    while U64(masks[row]) & key != U64(values[row]):
        row = row + 1
        if row == stop:
            return failed(out, U64(UNDEFINED))
    row_flags = U64(words8(t.flags)[row])
    if row_flags & HAS_IGNORED_MOD != 0:
        mod, in_register = U64(3), U64(1)
    if long and row_flags & (HAS_DEFAULT64 | HAS_FORCED64) != 0 and vector == 0:
        if osel == 1 or row_flags & HAS_FORCED64 != 0:
            osel = U64(2)
    rounding = row_flags & (ROUNDING | SUPPRESSING) != 0 and evex_b != 0 and mod == 3
    sel, wide = osel, U64(0)
    if vector != 0:
        sel = vl
        if long:
            wide = w
        osel = wide + 1
        if rounding:
            sel = U64(2)
        if sel == 3:
            return failed(out, U64(UNDEFINED))
    form = U64(words16(t.variants)[row * 12 + (sel * 2 + wide) * 2 + (in_register ^ 1)])
    if form == NO_FORM:
        return failed(out, U64(UNDEFINED))
    facts = words8(t.facts + form * FACTS)
    flags = U64(facts[FLAGS])
    in_memory = has_modrm and mod != 3

    # ---- memory operand
    osize, asize = U64(16) << osel, U64(16) << asel
    base, index, scale, disp, disp_size = U64(16), U64(16), U64(0), U64(0), U64(0)
    relative = False
    if in_memory:
        if asel == 0:
            if flags & VSIB != 0:
                return failed(out, U64(UNDEFINED))
            base = U64(0x35765533) >> (rm * 4) & 15  # BX BX BP BP SI DI BP BX
            index = U64(16)
            if rm < 4:
                index = 6 + (rm & 1)
            disp_size = mod
            if mod == 0 and rm == 6:
                base, disp_size = U64(16), U64(2)
        else:
            base = rm | b << 3
            if rm == 4:
                if at >= end:
                    return cut_short(out, end)
                sib = U64(text[at])
                at = at + 1
                scale = sib >> 6
                index = sib >> 3 & 7 | x << 3
                base = sib & 7 | b << 3
                if flags & VSIB != 0:
                    index = index | (v & 16)
                elif index == 4:
                    index, scale = U64(16), U64(0)
            elif flags & VSIB != 0 or U64(facts[FLAGS + 1]) & NEEDS_SIB != 0:
                return failed(out, U64(UNDEFINED))
            if mod == 0 and base & 7 == 5:
                disp_size = U64(4)
                relative = long and rm == 5
                base = U64(16)
            elif mod == 1:
                disp_size = U64(1)
            elif mod == 2:
                disp_size = U64(4)
        if at + disp_size > end:
            return cut_short(out, end)
        disp = signed_bytes(text, at, disp_size)
        at = at + disp_size
        if vector == 2 and disp_size == 1:
            if evex_b != 0:
                disp = disp << U64(facts[BCST_SHIFT])
            else:
                disp = disp << U64(facts[DISP_SHIFT])

    # ---- immediate
    imm, is4 = U64(0), U64(0)
    kind = U64(facts[IMMEDIATE])
    if kind != 0:
        size = U64(1)
        if kind == IMM16:
            size = U64(2)
        elif kind == VALUE or kind == REL or kind == FAR or kind == ABORT:
            size = U64(2)
            if osel != 0:
                size = U64(4)
        elif kind == WHOLE:
            size = osize >> 3
        elif kind == MOFFS:
            size = asize >> 3
        extra = U64(0)
        if kind == FAR:
            extra = U64(2)
        elif kind == ENTER:
            size, extra = U64(2), U64(1)
        if at + size + extra > end:
            return cut_short(out, end)
        imm = signed_bytes(text, at, size)
        at = at + size
        if kind == IMM8:
            imm = imm & 0xFF
            is4 = imm
        elif kind == SIGNED8 or kind == VALUE or kind == WHOLE:
            imm = imm & width_mask(osize)
        elif kind == IMM16:
            imm = imm & 0xFFFF
        elif kind == REL or kind == REL8:
            imm = (imm + ip + at) & width_mask(osize)
        elif kind == ABORT:
            imm = imm + ip + at
            if not long:
                imm = imm & 0xFFFFFFFF
        elif kind == MOFFS:
            disp = imm & width_mask(asize)
            imm = U64(0)
        elif kind == FAR:
            selector = signed_bytes(text, at, extra) & 0xFFFF
            imm = imm & width_mask(osize) | selector << 32
            at = at + 2
        elif kind == ENTER:
            imm = imm & 0xFFFF | U64(text[at]) << 16
            at = at + 1
    if relative:
        disp = disp + ip + at
    if base == 16 and index == 16:
        disp = disp & width_mask(asize)

    # ---- legality
    if lock != 0 and (not in_memory or flags & LOCKABLE == 0):
        return failed(out, U64(UNDEFINED))
    if vector != 0:
        if not long:
            if vector == 2 and v & 16 != 0:
                return failed(out, U64(UNDEFINED))
            if flags & VVVV_USED != 0:
                v = v & 7
                is4 = is4 & 0x7F
        if flags & VVVV_USED == 0 and v & 15 != 0:
            return failed(out, U64(UNDEFINED))
        if flags & (VVVV_USED | VSIB) == 0 and v != 0:
            return failed(out, U64(UNDEFINED))
    if vector == 2:
        marks = U64(facts[FLAGS + 1])
        if aaa != 0 and marks & MASK_OK == 0:
            return failed(out, U64(UNDEFINED))
        if aaa == 0 and (z != 0 or marks & MASK_NEEDED != 0):
            return failed(out, U64(UNDEFINED))
        if z != 0 and marks & ZEROING_OK == 0:
            return failed(out, U64(UNDEFINED))
        if evex_b != 0 and not rounding and (not in_memory or facts[BCST_SHIFT] == 0):
            return failed(out, U64(UNDEFINED))

    # ---- registers of the operands
    numbers = U64(0)
    i = U64(0)
    while i < 4:
        source = U64(facts[SOURCES + i])
        if source != 0:
            n = register(source, U64(facts[FIXED_AT + i]), reg, rm, opcode, v, is4, rex, r, x, x4, b, r4)
            if n == NO_REGISTER:
                return failed(out, U64(UNDEFINED))
            numbers = numbers | n << (i * 8)
        i = i + 1
    if vector != 0 and U64(facts[FLAGS + 1]) & (ALL_DISTINCT | FIRST_DISTINCT) != 0:
        n0, n1, n2 = numbers & 0xFF, numbers >> 8 & 0xFF, numbers >> 16 & 0xFF
        if flags & VSIB != 0:
            clash = index == n0 and facts[SOURCES] != MASK_REG
            if vector == 1:
                clash = clash or index == n2 or n0 == n2
        elif U64(facts[FLAGS + 1]) & ALL_DISTINCT != 0:
            clash = n0 == n1 or n0 == n2 or n1 == n2
        else:
            clash = n0 == n1 and facts[SOURCES + 1] != 0 or n0 == n2 and facts[SOURCES + 2] != 0 and not in_memory
            if in_memory:
                clash = n0 == n1
        if clash:
            return failed(out, U64(UNDEFINED))
    if seg == NO_SEGMENT:
        seg = U64(3)
        if in_memory and (base == 4 or base == 5):
            seg = U64(2)
    out.form = U16(form)
    out.length = U8(at)
    out.reason = U8(0)
    out.bits = U8(bits)
    out.osize = U8(osize)
    out.asize = U8(asize)
    out.seg = U8(seg)
    out.rep = U8(rep)
    out.lock = U8(lock)
    out.r0 = U8(numbers)
    out.r1 = U8(numbers >> 8)
    out.r2 = U8(numbers >> 16)
    out.r3 = U8(numbers >> 24)
    out.base = U8(base)
    out.index = U8(index)
    out.scale = U8(scale)
    out.disp_size = U8(disp_size)
    out.prefixes = U8(p66 | p67 << 1 | U64(relative) << 2)
    out.vvvv = U8(v)
    out.mask = U8(aaa | z << 7)
    out.vector = U8(vl | evex_b << 2 | U64(rounding) << 3)
    out.rex = U8(rex)
    out.disp = disp
    out.imm = imm
    return at


def decode_section(t, code, size, bits, ip, out, room):
    """Decode `size` bytes from host address `code` on into an array of at most `room` Decoded; returns how many.

    A byte that starts no instruction becomes a record of length 1 with its reason, and decoding goes on behind it.
    """
    at, n = U64(0), U64(0)
    while at < size and n < room:
        record = Decoded(out + n * UNIT)
        length = decode_into(t, code + at, size - at, bits, ip + at, record)
        if length == 0:
            record.length = U8(1)
            length = U64(1)
        at = at + length
        n = n + 1
    return n
