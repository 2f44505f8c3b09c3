"""Out of the ring and up over MQTT: dialects of payloads, paths, sessions, pace, drain."""
