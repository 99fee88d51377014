"""How alike are a source and a target? REAL from measured transfer, URIEL from typology.

`REAL×cosine` and the like are multiplied by how well a source fits the other ones.
"""

TIMES = ("cosine", "CKA")
# Similarities that the files of this folder compute.
COMPUTED = ("URIEL", "REAL", *(f"{kind}×{times}" for kind in ("URIEL", "REAL") for times in TIMES))
