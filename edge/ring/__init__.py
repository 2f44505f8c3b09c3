"""The flash ring: every record between the meters and the cloud."""
