"""The MQTT connections, the PLC and commands."""
