"""Compares our decoder with iced-x86 on given bytes; streams of random bytes that reach every map."""

import random
import re
import tomllib
from collections import Counter
from pathlib import Path

from isa.forms import ENCODINGS
from isa.instruction import Instruction
from isa.records import decode_many, records
from tests.oracles import decoder_rules

DIFFERENCES = tomllib.loads((Path(__file__).parent / "decoder_differences.toml").read_text())["difference"]
PREFIXES = (0x66, 0x67, 0xF2, 0xF3, 0xF0, 0x2E, 0x26, 0x64, 0x48, 0x4F, 0x41)
ESCAPES = [bytes.fromhex(p + m) for p in ("", "66", "f3", "f2", "48", "6648") for m in ("0f", "0f38", "0f3a", "0f01", "0fae", "0fc7")]


def accepted(bits: int, name: str, ours: str) -> bool:
    """Whether the file of differences has this one."""
    for row in DIFFERENCES:
        if bits in row.get("bits", (16, 32, 64)) and re.search(row.get("iced", "$^"), name) and not ours:
            return True
        if "ours" in row and bits in row.get("bits", (16, 32, 64)) and re.search(row["ours"], ours):
            return True
    return False


def another(bits: int, name: str, ours: str) -> bool:
    """Whether the file of differences has that both see an instruction, but not the same one."""
    rows = [row for row in DIFFERENCES if "as_iced" in row and bits in row.get("bits", (16, 32, 64))]
    return any(re.search(row["as_iced"], name) and re.search(row["as_ours"], ours) for row in rows)


def uniform(seed: int, n: int):
    """n random strings of 15 bytes."""
    r = random.Random(seed)
    return [r.randbytes(15) for _ in range(n)]


def aimed(seed: int, n: int, bits: int):
    """n random strings that begin with prefixes, escapes, VEX and EVEX more often than chance would."""
    r = random.Random(seed)
    out = []
    for _ in range(n):
        body, kind = r.randbytes(15), r.randrange(4)
        if kind == 0:
            head = bytes(r.choice(PREFIXES) for _ in range(r.randrange(1, 5)))
        elif kind == 1:
            head = r.choice(ESCAPES)
        elif kind == 2:
            head = b"\xc5" if r.random() < 0.3 else bytes((0xC4, r.choice((0xE0, 0xC0, 0, 0x60)) | r.choice((1, 2, 3))))
            body = bytes((body[0] | (0x78 if r.random() < 0.5 else 0),)) + body[1:]
        else:
            p0 = body[0] & 0xF0 | r.choice((1, 2, 3, 5, 6))
            p1 = body[1] | 4 | (0x78 if r.random() < 0.5 else 0)
            p2 = (body[2] | (8 if r.random() < 0.7 else 0)) & (0x7F if r.random() < 0.7 else 0xFF) & (0xF8 if r.random() < 0.5 else 0xFF)
            head, body = bytes((0x62, p0, p1, p2)), body[3:]
        code = head + body
        if bits != 64 and code[0] in (0xC4, 0xC5, 0x62):
            code = code[:1] + bytes((code[1] | 0xC0,)) + code[2:]
        out.append(code[:15])
    return out


def vectors(seed: int):
    """Strings for every VEX and EVEX row, with lengths, masks, broadcasts and both kinds of r/m."""
    r, out = random.Random(seed), []
    for e in ENCODINGS:
        if e.space == "legacy":
            continue
        pp, w = e.value & 3, e.value >> 4 & 1
        for _ in range(16):
            reg = e.value >> 6 & 7 if e.mask >> 6 & 7 == 7 else r.randrange(8)
            tail = bytes((e.opcode, r.choice((0, 1, 3)) << 6 | reg << 3 | r.choice((0, 1, 4)))) + r.randbytes(9)
            vvvv = r.choice((15, 15, r.randrange(16))) << 3
            if e.space == "vex":
                head = bytes((0xC4, 0xE0 | e.group - 8, w << 7 | vvvv | r.choice((0, 4)) | pp))
            else:
                p2 = r.choice((0, 1, 2)) << 5 | 8 | r.choice((0, 1)) | r.choice((0, 16))
                head = bytes((0x62, 0xF0 | e.group - 16, w << 7 | vvvv | 4 | pp, p2))
            out.append((head + tail)[:15])
    return out


class Report:
    """What a comparison found: counts and one example of each kind."""

    def __init__(self):
        self.total = self.valid = self.accepted = 0
        self.lengths, self.texts, self.examples = Counter(), Counter(), {}

    def __str__(self):
        lines = [f"{self.total} strings, {self.valid} valid in both, {self.accepted} accepted differences"]
        for what, counter in (("length", self.lengths), ("text", self.texts)):
            lines += [f"{what} {n}x {key}: {self.examples[what, key]}" for key, n in counter.most_common(20)]
        return "\n".join(lines)


def compare_att(codes: list[bytes], bits: int, ip: int = 0x1000) -> Report:
    """The AT&T text of what is valid in both."""
    report, form = Report(), decoder_rules.formatter(decoder_rules.FormatterSyntax.GAS)
    for code, record in zip(codes, decode_many(codes, bits=bits, ip=ip)):
        length, name, theirs = decoder_rules.iced(code, bits, ip)
        report.total += 1
        if length and not record["reason"]:
            report.valid += 1
            mine, other = Instruction(record, ip).format("att"), form.format(theirs)
            if decoder_rules.normal_att(mine) != decoder_rules.normal_att(other) and not another(
                bits, name, Instruction(record, ip).form.name
            ):
                report.texts[name] += 1
                report.examples.setdefault(("text", name), (code.hex(), other, mine))
    return report


def compare(codes: list[bytes], bits: int, ip: int = 0x1000) -> Report:
    """Decode every string with both; the text is compared where both see an instruction."""
    report, form = Report(), decoder_rules.formatter()
    for code, record in zip(codes, decode_many(codes, bits=bits, ip=ip)):
        judge(report, form, code, record, bits, ip)
    return report


def compare_section(data: bytes, bits: int, address: int) -> Report:
    """The instructions of a whole section in a row, as our bulk form finds them."""
    report, form, at = Report(), decoder_rules.formatter(), 0
    for record in records(data, bits=bits, ip=address):
        judge(report, form, data[at : at + 15], record, bits, address + at)
        at += int(record["length"])
    return report


def judge(report: Report, form, code: bytes, record, bits: int, ip: int) -> None:
    """Compare one record with what iced makes of the same bytes."""
    length, name, theirs = decoder_rules.iced(code, bits, ip)
    ours = 0 if record["reason"] else int(record["length"])
    report.total += 1
    if ours != length:
        own = Instruction(record, ip).form.name if ours else ""
        if accepted(bits, name if length else "", own):
            report.accepted += 1
        else:
            key = name if length else f"only ours: {own}"
            report.lengths[key] += 1
            report.examples.setdefault(("length", key), (code.hex(), length, ours, form.format(theirs)))
    elif length:
        report.valid += 1
        mine, other = str(Instruction(record, ip)), form.format(theirs)
        if mine != other and decoder_rules.normal(mine) != decoder_rules.normal(other):
            if another(bits, name, Instruction(record, ip).form.name):
                report.accepted += 1
                return
            report.texts[name] += 1
            report.examples.setdefault(("text", name), (code.hex(), other, mine))
