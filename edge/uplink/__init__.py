"""ThingsBoard over MQTT: payloads, pace, session, drain."""
