"""Print the slopes of merginguriel/decision/transfer.json, fitted to a table of transfer accuracies.

    python scripts/make_transfer.py TABLE.csv

Averaged over the table's models, each scaled to a spread of 5 pp within targets.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from merginguriel.decision.transfer import FEATURES, _ridge, _similarities, read_table


def fit_slopes(path: Path) -> dict[str, float]:
    """Return feature → slope, pp per unit of similarity."""
    names, tables = read_table(path)
    features = _similarities(names, names)
    found = []
    for table in tables.values():
        mask = ~np.isnan(table)
        rest = table - np.nanmean(table, 0)
        rest = rest - np.nanmean(rest, 1)[:, None]
        rest = rest * 5 / np.nanstd(rest)
        counts = mask.sum(0)[None, :, None]
        centred = features - (features * mask[..., None]).sum(0)[None] / counts
        found.append(_ridge(centred[mask], rest[mask]))
    mean = np.mean(found, 0)
    return {name: round(float(value), 2) for name, value in zip(FEATURES, mean, strict=True)}


if __name__ == "__main__":
    print(json.dumps(fit_slopes(Path(sys.argv[1])), indent=1))
