"""The Textual app: sees frozen snapshots, sends lines of commands; nothing here knows what an instruction means."""
