"""The commands behind `halow-gateway`, one file per group; heavy imports stay inside each command."""
