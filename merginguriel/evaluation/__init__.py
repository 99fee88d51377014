"""How good is a model, and is it better than another? Predictions, N×N, baselines, paired tests, pictures."""
