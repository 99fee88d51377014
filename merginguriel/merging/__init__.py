"""Recipes, compatibility, merging methods and the streaming engine that applies them."""
