"""Kinds of runs, one file each, with a function run(run, space, tell) -> Outcome."""
