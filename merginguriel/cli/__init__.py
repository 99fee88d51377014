"""`mu`: thin commands over the core. One file per group of commands; nothing heavy is imported at the top."""
