"""DWARF of a guest's file: lines of source, call frames, values."""
