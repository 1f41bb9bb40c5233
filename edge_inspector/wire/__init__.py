"""The published MQTT contract."""
