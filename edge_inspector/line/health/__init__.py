"""State, alarms, control charts and Prometheus."""
