"""What people see: the panels, what their views ask for, and the front end's files."""
