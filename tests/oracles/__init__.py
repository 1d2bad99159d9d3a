"""What others say about x86: the host CPU, Bochs and Unicorn, each running one instruction from a given state."""
