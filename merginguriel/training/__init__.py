"""Fine-tuning; iterative and contrastive training will lie here too."""
