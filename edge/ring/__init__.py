"""The flash ring: every record between the meters and the cloud. Format and contract: docs/ring-format.md."""
