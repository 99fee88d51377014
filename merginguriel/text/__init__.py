"""How numbers, differences, tables and advice are printed, for every client."""
