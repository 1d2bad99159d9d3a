"""The language that meanings, the decoder and the engines are written in, and its compiler.

`word` and `struct` run as plain Python; `lower` teaches numba the same types; `emit` makes object code of them.
Only `lower` and `emit` import numba, and only to build: a process that runs a guest loads the finished object.
"""
