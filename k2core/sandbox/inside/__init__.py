"""What runs inside the jail, on the system's Python, with the standard library alone."""
