"""AMX (decoded; not offered).  Notation: isa/row.py."""

from isa.row import I

# fmt: off
ROWS = [
I("VEX.128.NP.0F38.W0 49 /0 o64",   "LDTILECFG Moq",                            "ud", access="r", feature="AMX_TILE"),
I("VEX.128.66.0F38.W0 49 /0 o64",   "STTILECFG Moq",                            "ud", access="w", feature="AMX_TILE"),
I("VEX.128.F2.0F38.W0 49 /r rm0 o64", "TILEZERO Te",                              "ud", access="w", feature="AMX_TILE"),
I("VEX.128.NP.0F38.W0 49 C0 o64",   "TILERELEASE",                              "ud", feature="AMX_TILE"),
I("VEX.128.F2.0F38.W0 4B /r o64",   "TILELOADD Te,Msib",                        "ud", access="w", feature="AMX_TILE"),
I("VEX.128.66.0F38.W0 4B /r o64",   "TILELOADDT1 Te,Msib",                      "ud", access="w", feature="AMX_TILE"),
I("VEX.128.F3.0F38.W0 4B /r o64",   "TILESTORED Msib,Te",                       "ud", access="w", feature="AMX_TILE"),
I("VEX.128.F3.0F38.W0 5C /r o64",   "TDPBF16PS Te{u},TMe,TVe",                  "ud", feature="AMX_BF16"),
I("VEX.128.F2.0F38.W0 5C /r o64",   "TDPFP16PS Te{u},TMe,TVe",                  "ud", feature="AMX_FP16"),
I("VEX.128.F2.0F38.W0 5E /r o64",   "TDPBSSD Te{u},TMe,TVe",                    "ud", feature="AMX_INT8"),
I("VEX.128.F3.0F38.W0 5E /r o64",   "TDPBSUD Te{u},TMe,TVe",                    "ud", feature="AMX_INT8"),
I("VEX.128.66.0F38.W0 5E /r o64",   "TDPBUSD Te{u},TMe,TVe",                    "ud", feature="AMX_INT8"),
I("VEX.128.NP.0F38.W0 5E /r o64",   "TDPBUUD Te{u},TMe,TVe",                    "ud", feature="AMX_INT8"),
I("VEX.128.66.0F38.W0 6C /r o64",   "TCMMIMFP16PS Te{u},TMe,TVe",               "ud", feature="AMX_COMPLEX"),
I("VEX.128.NP.0F38.W0 6C /r o64",   "TCMMRLFP16PS Te{u},TMe,TVe",               "ud", feature="AMX_COMPLEX"),
]
# fmt: on
