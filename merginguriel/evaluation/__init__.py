"""Evaluation: predictions, N×N matrix, baselines, paired tests, ensembles, pictures."""
