"""Models, matrices and result rows of a workspace."""
