"""Fine-tuning, iterative training with merges, and learnt merging coefficients."""
