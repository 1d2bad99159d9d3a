"""The past: what is recorded, going back to it, questions about it, and recordings as files."""
