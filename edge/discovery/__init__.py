"""Finding meters and finding out about them: politely, with nothing believed that was not answered (decision 0016)."""
