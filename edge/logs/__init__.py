"""What becomes of log lines: stderr or the journal with its fields, the newest ones in memory, the level."""
