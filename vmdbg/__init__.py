"""vmdbg: a terminal debugger for whole x86 virtual machines."""
