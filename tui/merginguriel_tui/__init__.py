"""The terminal interface: a client of the functions that `mu` calls."""
