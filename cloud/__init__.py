"""The ThingsBoard side: provisioning, dashboards, alarm rules, a server's stack. keys.toml ties it to the gateway.

Nothing here runs on a gateway, and neither `edge` nor `halow` imports it; a test reads the imports.
"""
