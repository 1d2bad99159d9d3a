"""The machine: CPU state, meanings of instructions, memory, the engines that run them, the board."""
