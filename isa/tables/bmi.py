"""BMI1 and BMI2: general registers, VEX encoding.  Notation: isa/row.py."""

from isa.row import I

# fmt: off
ROWS = [
I("VEX.128.NP.0F38 F2 /r",          "ANDN Gy,By,Ey",                            "andn", flags="w=sz 0=oc u=ap", access="w", feature="BMI1"),
I("VEX.128.NP.0F38 F3 /3",          "BLSI By,Ey",                               "blsi", flags="w=szc 0=o u=ap", access="w", feature="BMI1"),
I("VEX.128.NP.0F38 F3 /2",          "BLSMSK By,Ey",                             "blsmsk", flags="w=sc 0=oz u=ap", access="w", feature="BMI1"),
I("VEX.128.NP.0F38 F3 /1",          "BLSR By,Ey",                               "blsr", flags="w=szc 0=o u=ap", access="w", feature="BMI1"),
I("VEX.128.NP.0F38 F5 /r",          "BZHI Gy,Ey,By",                            "bzhi", flags="w=szc 0=o u=ap", access="w", feature="BMI2"),
I("VEX.128.F2.0F38 F5 /r",          "PDEP Gy,By,Ey",                            "pdep", access="w", feature="BMI2"),
I("VEX.128.F3.0F38 F5 /r",          "PEXT Gy,By,Ey",                            "pext", access="w", feature="BMI2"),
I("VEX.128.F2.0F38 F6 /r",          "MULX Gy,By,Ey",                            "mulx", access="w,w", feature="BMI2"),
I("VEX.128.NP.0F38 F7 /r",          "BEXTR Gy,Ey,By",                           "bextr", flags="w=z 0=oc u=sap", access="w", feature="BMI1"),
I("VEX.128.F3.0F38 F7 /r",          "SARX Gy,Ey,By",                            "sarx", access="w", feature="BMI2"),
I("VEX.128.66.0F38 F7 /r",          "SHLX Gy,Ey,By",                            "shlx", access="w", feature="BMI2"),
I("VEX.128.F2.0F38 F7 /r",          "SHRX Gy,Ey,By",                            "shrx", access="w", feature="BMI2"),
I("VEX.128.F2.0F3A F0 /r",          "RORX Gy,Ey,Ib",                            "rorx", access="w", feature="BMI2"),
]
# fmt: on
