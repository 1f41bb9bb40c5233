"""Images over MQTT: a worker's share, and the camera PC that sends."""
