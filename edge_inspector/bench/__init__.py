"""How fast is this bundle on this machine, next to what the machine itself can do, and next to what is wanted."""
