"""What a technician does to a station: first settings, check, export, approvals, support file."""
