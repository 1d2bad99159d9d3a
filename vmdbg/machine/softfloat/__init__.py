"""Exact floating point in integer words: every bit, every flag, on any host.

core.py         numbers taken apart, rounding, NaN choice; what `mode` and flags are
arithmetic.py   add mul div sqrt compare          one generic core for the three formats
convert.py      integral values, integers, other formats
single.py double.py between.py      F32 and F64 as SSE sees them
extended.py     F80 as x87 sees it
"""
