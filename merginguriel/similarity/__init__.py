"""Similarities of source and target locales, and the choice of sources by them.

registry   the decorator `@similarity`, and every registered name
choice     the one chooser of sources and weights
uriel, real, task_vectors  the similarities
select     top k, Sinkhorn, CSV files of a similarity
compat     measures of how well models fit each other
"""
