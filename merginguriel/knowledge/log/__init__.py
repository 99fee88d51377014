"""The experiment log: append entries, plans and questions, export."""
