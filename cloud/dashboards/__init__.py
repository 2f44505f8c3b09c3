"""Dashboards: written from boards.toml and states/*.toml, kept as the JSON that ThingsBoard imports."""
