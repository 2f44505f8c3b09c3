"""What leaves the gateway as one file for people: the support archive, and backups."""
