"""What is derived from the rows: sensitivity, pages, CPUID."""

from isa import cpuid, pages, sensitivity
from isa.forms import ROWS

ROBIN_IRVINE = set("SGDT SIDT SLDT SMSW PUSHF POPF LAR LSL VERR VERW POP PUSH CALL JMP RET STR MOV".split()) | {"INT n"}


def test_robin_and_irvine_come_out_of_the_facts():
    """All of their instructions are sensitive and unprivileged by the rows' facts, with UMIP off."""
    rows = sensitivity.sensitive_unprivileged()
    assert {sensitivity.robin_irvine(row) for row in rows} - {""} == ROBIN_IRVINE
    assert set(sensitivity.REGISTER_LIST + sensitivity.PROTECTION_LIST) == ROBIN_IRVINE


def test_umip_makes_five_of_them_trap():
    plain = {row.mnemonic for row in sensitivity.sensitive_unprivileged()}
    umip = {row.mnemonic for row in sensitivity.sensitive_unprivileged(umip=True)}
    assert plain - umip == set("SGDT SIDT SLDT STR SMSW".split())


def test_privileged_instructions_are_not_in_the_list():
    names = {row.mnemonic for row in sensitivity.sensitive_unprivileged()}
    assert not names & set("HLT LGDT LIDT LLDT LTR CLTS LMSW WRMSR RDMSR INVLPG CLI STI IN OUT ADD NOP RDTSC".split())
    for row in ROWS:
        if row.mnemonic in ("ADD", "NOP", "JE"):
            assert sensitivity.classify(row).innocuous


def test_pages():
    page = pages.page("popf")
    assert "not privileged (Robin and Irvine: POPF)" in page and "9D" in page
    assert pages.page("cwde").startswith("CWDE")
    assert pages.page("frobnicate") is None
    assert all(pages.page(row.mnemonic) for row in ROWS[::20])
    assert "GenuineIntel" in pages.cpuid_page() and "SSE4_2" in pages.cpuid_page()


def test_the_model():
    """The vendor string, the features the contract names, and none it excludes."""
    top, b, c, d = cpuid.cpuid(0)
    assert b"".join(v.to_bytes(4, "little") for v in (b, d, c)) == b"GenuineIntel" and top >= 0xD
    for (
        name
    ) in "SSE4_2 AES PCLMULQDQ SHA BMI1 BMI2 ADX MOVBE RDRAND RDSEED RDTSCP FSGSBASE SMEP SMAP UMIP PCID INVPCID NX PAGE1GB XSAVE".split():
        assert cpuid.BY_NAME[name].offered, name
    for name in "SVM AVX AVX2 FMA F16C AVX512F".split():
        assert not cpuid.BY_NAME[name].offered, name
    assert cpuid.cpuid(0x80000001)[2] >> 2 & 1 == 0  # SVM
    assert cpuid.cpuid(0x12345678) == cpuid.cpuid(cpuid.MAX_BASIC)
