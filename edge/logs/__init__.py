"""What becomes of log lines besides stderr: the journal with its fields, the newest lines in memory, the level."""
