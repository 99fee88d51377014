"""What does a run of each kind do? One file per kind, with a function run(run, space, tell) -> Outcome."""
