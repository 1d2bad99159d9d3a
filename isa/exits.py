"""VM exits as data: the basic exit reasons (Intel SDM vol. 3, appendix C) and the controls that enable them."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Exit:
    """A basic exit reason and the VM-execution control that enables it; no control: the exit is unconditional."""

    number: int
    name: str
    control: str = ""

    def when(self, control: str) -> "Exit":
        """This exit, taken only while `control` is set."""
        return replace(self, control=control)

    def __str__(self):
        return f"{self.name} ({self.number})" + (f" if {self.control}" if self.control else "")


# The controls, as the manual names them (SDM vol. 3, 25.6).
HLT_EXITING = "HLT exiting"
INVLPG_EXITING = "INVLPG exiting"
MWAIT_EXITING = "MWAIT exiting"
RDPMC_EXITING = "RDPMC exiting"
RDTSC_EXITING = "RDTSC exiting"
CR3_LOAD_EXITING = "CR3-load exiting, CR8-load exiting or the CR0/CR4 guest-host mask"
CR_STORE_EXITING = "CR3-store exiting or CR8-store exiting"
CR0_MASK = "the CR0 guest-host mask"
MOV_DR_EXITING = "MOV-DR exiting"
IO_EXITING = "unconditional I/O exiting or the I/O bitmaps"
MSR_BITMAPS = "the MSR bitmaps, or always without them"
MONITOR_EXITING = "MONITOR exiting"
PAUSE_EXITING = "PAUSE exiting or PAUSE-loop exiting"
DESC_TABLE_EXITING = "descriptor-table exiting"
WBINVD_EXITING = "WBINVD exiting"
RDRAND_EXITING = "RDRAND exiting"
RDSEED_EXITING = "RDSEED exiting"
INVPCID_EXITING = "INVLPG exiting and enable INVPCID"
ENCLS_EXITING = "the ENCLS-exiting bitmap"
XSS_BITMAP = "the XSS-exiting bitmap"
RDTSCP_EXITING = "RDTSC exiting and enable RDTSCP"
SINGLE_CONTEXT_VMX = ""
VMCS_SHADOWING = "always, or the VMREAD/VMWRITE bitmaps under VMCS shadowing"
USER_WAIT = "RDTSC exiting and enable user wait and pause"

TASK_SWITCH = Exit(9, "task switch")
CPUID = Exit(10, "CPUID")
GETSEC = Exit(11, "GETSEC")
HLT = Exit(12, "HLT")
INVD = Exit(13, "INVD")
INVLPG = Exit(14, "INVLPG")
RDPMC = Exit(15, "RDPMC")
RDTSC = Exit(16, "RDTSC")
RSM = Exit(17, "RSM")
VMCALL = Exit(18, "VMCALL")
VMCLEAR = Exit(19, "VMCLEAR")
VMLAUNCH = Exit(20, "VMLAUNCH")
VMPTRLD = Exit(21, "VMPTRLD")
VMPTRST = Exit(22, "VMPTRST")
VMREAD = Exit(23, "VMREAD")
VMRESUME = Exit(24, "VMRESUME")
VMWRITE = Exit(25, "VMWRITE")
VMXOFF = Exit(26, "VMXOFF")
VMXON = Exit(27, "VMXON")
CR_ACCESS = Exit(28, "control-register access")
MOV_DR = Exit(29, "MOV DR")
IO = Exit(30, "I/O instruction")
RDMSR = Exit(31, "RDMSR")
WRMSR = Exit(32, "WRMSR")
MWAIT = Exit(36, "MWAIT")
MONITOR = Exit(39, "MONITOR")
PAUSE = Exit(40, "PAUSE")
GDTR_IDTR = Exit(46, "access to GDTR or IDTR")
LDTR_TR = Exit(47, "access to LDTR or TR")
INVEPT = Exit(50, "INVEPT")
RDTSCP = Exit(51, "RDTSCP")
INVVPID = Exit(53, "INVVPID")
WBINVD = Exit(54, "WBINVD or WBNOINVD")
XSETBV = Exit(55, "XSETBV")
RDRAND = Exit(57, "RDRAND")
INVPCID = Exit(58, "INVPCID")
VMFUNC = Exit(59, "VMFUNC")
ENCLS = Exit(60, "ENCLS")
RDSEED = Exit(61, "RDSEED")
XSAVES = Exit(63, "XSAVES")
XRSTORS = Exit(64, "XRSTORS")
UMWAIT = Exit(67, "UMWAIT")
TPAUSE = Exit(68, "TPAUSE")
