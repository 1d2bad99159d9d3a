"""The instruction set: one file of rows per family, in the manual's notation (isa/row.py)."""
