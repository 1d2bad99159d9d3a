"""The CPU model's features, listed once.  CPUID's leaves are computed from this list, and rows name features from it.

One model (contract): GenuineIntel, family 6.  `offered` says whether the model has the feature; what it does not
offer still decodes, and raises #UD when executed.
"""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    leaf: int
    subleaf: int
    register: str  # eax ebx ecx edx
    bit: int
    offered: bool
    what: str = ""


def _leaf(leaf, subleaf, register, offered="", others=""):
    """Features of one register: `NAME:bit` each."""
    for text, has in ((offered, True), (others, False)):
        for entry in text.split():
            name, bit = entry.split(":")
            yield Feature(name, leaf, subleaf, register, int(bit), has)


# fmt: off
FEATURES = [
*_leaf(1, 0, "edx",
       "FPU:0 VME:1 DE:2 PSE:3 TSC:4 MSR:5 PAE:6 MCE:7 CX8:8 APIC:9 SEP:11 MTRR:12 PGE:13 MCA:14 CMOV:15 PAT:16 "
       "PSE36:17 CLFSH:19 MMX:23 FXSR:24 SSE:25 SSE2:26 SS:27",
       "PSN:18 DS:21 ACPI:22 HTT:28 TM:29 PBE:31"),
*_leaf(1, 0, "ecx",
       "SSE3:0 PCLMULQDQ:1 SSSE3:9 CMPXCHG16B:13 PCID:17 SSE4_1:19 SSE4_2:20 X2APIC:21 MOVBE:22 POPCNT:23 "
       "TSC_DEADLINE:24 AES:25 XSAVE:26 RDRAND:30",
       "DTES64:2 MONITOR:3 DS_CPL:4 VMX:5 SMX:6 EIST:7 TM2:8 CNXT_ID:10 SDBG:11 FMA:12 XTPR:14 PDCM:15 DCA:18 AVX:28 "
       "F16C:29 HYPERVISOR:31"),
*_leaf(7, 0, "ebx",
       "FSGSBASE:0 TSC_ADJUST:1 BMI1:3 SMEP:7 BMI2:8 ERMS:9 INVPCID:10 NO_FCS_FDS:13 RDSEED:18 ADX:19 SMAP:20 CLFLUSHOPT:23 SHA:29",
       "SGX:2 HLE:4 AVX2:5 RTM:11 MPX:14 AVX512F:16 AVX512DQ:17 AVX512_IFMA:21 CLWB:24 PT:25 AVX512PF:26 "
       "AVX512ER:27 AVX512CD:28 AVX512BW:30 AVX512VL:31"),
*_leaf(7, 0, "ecx", "UMIP:2 RDPID:22",
       "PREFETCHWT1:0 AVX512_VBMI:1 PKU:3 WAITPKG:5 AVX512_VBMI2:6 CET_SS:7 GFNI:8 VAES:9 VPCLMULQDQ:10 AVX512_VNNI:11 "
       "AVX512_BITALG:12 TME:13 AVX512_VPOPCNTDQ:14 LA57:16 "
       "KL:23 CLDEMOTE:25 MOVDIRI:27 MOVDIR64B:28 ENQCMD:29"),
*_leaf(7, 0, "edx", "",
       "AVX512_4VNNIW:2 AVX512_4FMAPS:3 UINTR:5 AVX512_VP2INTERSECT:8 SERIALIZE:14 HYBRID:15 TSXLDTRK:16 PCONFIG:18 "
       "CET_IBT:20 AMX_BF16:22 AVX512_FP16:23 AMX_TILE:24 AMX_INT8:25"),
*_leaf(7, 1, "eax", "",
       "SHA512:0 SM3:1 SM4:2 RAO_INT:3 AVX_VNNI:4 AVX512_BF16:5 CMPCCXADD:7 FRED:17 LKGS:18 WRMSRNS:19 AMX_FP16:21 "
       "HRESET:22 AVX_IFMA:23 MSRLIST:27"),
*_leaf(7, 1, "edx", "",
       "AVX_VNNI_INT8:4 AVX_NE_CONVERT:5 AMX_COMPLEX:8 AVX_VNNI_INT16:10 PREFETCHITI:14 USER_MSR:15"),
*_leaf(0xD, 1, "eax", "XSAVEOPT:0", "XSAVEC:1 XGETBV1:2 XSAVES:3"),
*_leaf(7, 1, "ebx", "", "TSE:1"),
Feature("TDX", 0, 0, "", 0, False, "told by IA32_MTRRCAP, not by CPUID"),
*_leaf(0x14, 0, "ebx", "", "PTWRITE:4"),
*_leaf(0x80000001, 0, "ecx", "LAHF:0 LZCNT:5 PREFETCHW:8", "SVM:2 SSE4A:6 XOP:11 SKINIT:12 LWP:15 FMA4:16 TBM:21"),
*_leaf(0x80000001, 0, "edx", "SYSCALL:11 NX:20 PAGE1GB:26 RDTSCP:27 LM:29", "AMD_3DNOWEXT:30 AMD_3DNOW:31"),
*_leaf(0x80000007, 0, "edx", "INVARIANT_TSC:8"),
]
# fmt: on
BY_NAME = {f.name: f for f in FEATURES}

VENDOR = b"GenuineIntel"
BRAND = b"vmdbg x86-64 processor".ljust(48, b"\0")
SIGNATURE = 0x000506E3  # family 6, model 5Eh, stepping 3
MAX_BASIC, MAX_EXTENDED = 0x15, 0x80000008
WITH_SUBLEAVES = (4, 7, 0xB, 0xD)  # the others do not look at ECX
SUBLEAVES, ANY = 4, 0xFFFFFFFF  # how many there are at most; in rows: whatever ECX holds
PHYSICAL_BITS, LINEAR_BITS = 40, 48
XCR0_BITS = 0b11  # x87 and SSE
XSAVE_SIZE = 512 + 64  # legacy region and header
FREQUENCY_MHZ = 1000


@cache
def offered(feature: str) -> bool:
    """Whether the model has every feature of a `+`-joined list of names; nothing named: yes."""
    return all(BY_NAME[name].offered for name in feature.split("+")) if feature else True


def bits(leaf: int, subleaf: int, register: str) -> int:
    """The feature bits offered in one register of one leaf."""
    return sum(1 << f.bit for f in FEATURES if f.offered and (f.leaf, f.subleaf, f.register) == (leaf, subleaf, register))


def _word(text: bytes) -> int:
    return int.from_bytes(text, "little")


def cpuid(leaf: int, subleaf: int = 0, *, apic_id: int = 0, cpus: int = 1) -> tuple[int, int, int, int]:
    """(eax, ebx, ecx, edx) of CPUID for a leaf and subleaf, as far as they do not change at run time.

    What depends on the CPU's state is left to the machine: OSXSAVE (leaf 1 ecx bit 27 = CR4.OSXSAVE), APIC (leaf 1 edx
    bit 9 = enabled in IA32_APIC_BASE), the enabled XSAVE size (leaf Dh ebx, by XCR0).  SDM vol. 2, CPUID.
    """
    leaf &= 0xFFFFFFFF
    if MAX_BASIC < leaf < 0x80000000 or leaf > MAX_EXTENDED:
        leaf = MAX_BASIC  # leaves beyond the last answer as the last basic one does
    if leaf not in WITH_SUBLEAVES:
        subleaf = 0
    feature = [bits(leaf, subleaf, r) for r in ("eax", "ebx", "ecx", "edx")]
    if leaf == 0:
        return MAX_BASIC, _word(VENDOR[0:4]), _word(VENDOR[8:12]), _word(VENDOR[4:8])
    if leaf == 1:
        return SIGNATURE, apic_id << 24 | cpus << 16 | 8 << 8, feature[2], feature[3] | (cpus > 1) << 28
    if leaf == 2:
        return 0x00FEFF01, 0, 0, 0  # see leaf 4; no TLB descriptors
    if leaf == 4:
        return _cache(subleaf)
    if leaf == 5:
        return 64, 64, 3, 0  # MONITOR works on lines of 64 bytes; interrupts break MWAIT even when masked
    if leaf == 7:
        return (1 if subleaf == 0 else feature[0]), feature[1], feature[2], feature[3]
    if leaf == 0xB:
        return _topology(subleaf, apic_id, cpus)
    if leaf == 0xD and subleaf == 0:
        return XCR0_BITS, XSAVE_SIZE, XSAVE_SIZE, 0
    if leaf == 0xD and subleaf == 1:
        return feature[0], 0, 0, 0
    if leaf == 0x15:
        return 1, 1, FREQUENCY_MHZ * 1_000_000, 0  # the TSC counts the core crystal clock's periods
    if leaf == 0x80000000:
        return MAX_EXTENDED, 0, 0, 0
    if leaf == 0x80000001:
        return 0, 0, feature[2], feature[3]
    if 0x80000002 <= leaf <= 0x80000004:
        part = BRAND[(leaf - 0x80000002) * 16 :][:16]
        return _word(part[0:4]), _word(part[4:8]), _word(part[8:12]), _word(part[12:16])
    if leaf == 0x80000006:
        return 0, 0, 256 << 16 | 6 << 12 | 64, 0  # L2: 256 KiB, 8-way, lines of 64 bytes
    if leaf == 0x80000007:
        return 0, 0, 0, feature[3]
    if leaf == 0x80000008:
        return LINEAR_BITS << 8 | PHYSICAL_BITS, 0, 0, 0
    return 0, 0, 0, 0


def rows(cpus: int) -> list[tuple[int, int, int, int, int, int]]:
    """(leaf, subleaf, eax, ebx, ecx, edx) of every leaf, for the processor with APIC id 0; subleaf ANY: ECX is not looked at.

    What is in no row, a subleaf, answers with zeros; leaf Bh then has the subleaf in ECX.
    """
    leaves = [*range(MAX_BASIC + 1), *range(0x80000000, MAX_EXTENDED + 1)]
    asked = [(leaf, subleaf) for leaf in leaves for subleaf in (range(SUBLEAVES) if leaf in WITH_SUBLEAVES else (ANY,))]
    return [(leaf, subleaf, *cpuid(leaf, 0 if subleaf == ANY else subleaf, cpus=cpus)) for leaf, subleaf in asked]


def _cache(subleaf):
    """Leaf 4: L1 data and instruction, L2, as (type, level, ways, sets)."""
    caches = [(1, 1, 8, 64), (2, 1, 8, 64), (3, 2, 8, 512)]
    if subleaf >= len(caches):
        return 0, 0, 0, 0
    kind, level, ways, sets = caches[subleaf]
    return kind | level << 5 | 1 << 8, (ways - 1) << 22 | 63, sets - 1, 0


def _topology(subleaf, apic_id, cpus):
    """Leaf Bh: one thread a core, `cpus` cores in one package."""
    shift = max(cpus - 1, 0).bit_length()
    if subleaf == 0:
        return 0, 1, 1 << 8, apic_id
    if subleaf == 1:
        return shift, cpus, 2 << 8 | 1, apic_id
    return 0, 0, subleaf & 0xFF, apic_id
