"""What keys does `mu advise --json` print, and of which type? JSON Schema, draft 2020-12."""

from __future__ import annotations

from typing import Any

_NUMBER = {"type": "number"}
_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_MAYBE_NUMBER = {"type": ["number", "null"]}
_INTERVAL = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


_GAIN = {
    "mean_pp": {**_NUMBER, "description": "Expected gain over the baseline, percentage points."},
    "ci80_pp": {**_INTERVAL, "description": "80% interval of the gain, pp."},
    "ci90_pp": {**_INTERVAL, "description": "90% interval of the gain, pp."},
    "p_positive": {"type": "number", "minimum": 0, "maximum": 1, "description": "P(gain > 0)."},
}
_SOURCE = _object({"locale": _TEXT, "weight": _MAYBE_NUMBER, "reason": _TEXT, "ref": _MAYBE_TEXT})
_RECIPE = _object(
    {
        "method": _TEXT,
        "params": {"type": "object", "additionalProperties": _TEXT},
        "similarity": {"enum": ["URIEL", "REAL", None]},
        "k": {"type": ["integer", "null"]},
        "sources": {"type": "array", "items": _SOURCE},
        "sources_missing": {"type": "integer", "description": "Sources that the log cannot name."},
        "note": _TEXT,
        "vetoed_by": {**_MAYBE_TEXT, "description": "The claim that forbids this recipe, if one does."},
    }
)
_EVIDENCE = {
    "type": "object",
    "properties": {
        "ref": {**_TEXT, "description": "<entry id>#r<n>, or `prior` for the rows of other targets."},
        "recipe": _TEXT,
        "gain_pp": {**_NUMBER, "description": "Measured gain, pp."},
        "se_pp": {**_NUMBER, "description": "Its standard error (or the spread, for the prior), pp."},
        "n": {"type": ["integer", "null"]},
        "kind": {"enum": ["gain", "effect", "prior", "contested", "invalidated"]},
        "paired": {"type": "boolean"},
        "p_value": _NUMBER,
        "within_noise": {"type": "boolean"},
        "contribution_pp": {
            **_MAYBE_NUMBER,
            "description": "Its part of gain.mean_pp; the parts add up to it.",
        },
    },
    "required": ["ref", "recipe", "gain_pp", "kind"],
}

ADVICE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "MergingUriel advice",
    **_object(
        {
            "target": _TEXT,
            "mode": {"enum": ["ExcTar", "IncTar"]},
            "context": _TEXT,
            "verdict": {"enum": ["merge", "pilot", "no-merge", "unknown"]},
            "summary": _TEXT,
            "recipe": _RECIPE,
            "gain": _object(_GAIN),
            "min_gain_pp": _NUMBER,
            "mde_pp": {
                **_MAYBE_NUMBER,
                "description": "Smallest gain that the test set finds with 80% power, pp.",
            },
            "baseline": _object(
                {
                    "kind": {"enum": ["best_single_source", "target_alone"]},
                    "value": _MAYBE_NUMBER,
                    "n": {"type": ["integer", "null"]},
                    "model": _MAYBE_TEXT,
                    "how": _TEXT,
                    "ref": _MAYBE_TEXT,
                }
            ),
            "evidence": {"type": "array", "items": _EVIDENCE},
            "dissent": {"type": "array", "items": _EVIDENCE},
            "rules": {
                "type": "array",
                "items": _object(
                    {
                        "claim": _TEXT,
                        "skill": _TEXT,
                        "predicate": _TEXT,
                        "text": _TEXT,
                        "status": _TEXT,
                        "reason": _TEXT,
                    }
                ),
            },
            "alternatives": {"type": "array", "items": {"type": "object", "required": ["what", "mode"]}},
            "pilot": {
                "anyOf": [
                    {"type": "null"},
                    _object(
                        {
                            "arms": {"type": "array", "items": _TEXT},
                            "measure": _TEXT,
                            "n": {"type": ["integer", "null"]},
                            "value_pp": {
                                **_NUMBER,
                                "description": "Expected gain from deciding after the trial, pp.",
                            },
                            "sees_pp": _NUMBER,
                            "cost": {"type": "object", "additionalProperties": {"type": "integer"}},
                        }
                    ),
                ]
            },
            "calibration": {
                "anyOf": [
                    {"type": "null"},
                    _object(
                        {
                            "how": _TEXT,
                            "targets": {"type": "integer"},
                            "predictions": {"type": "integer"},
                            "inside80": _NUMBER,
                            "inside90": _NUMBER,
                            "mean_error_pp": _NUMBER,
                        }
                    ),
                ]
            },
            "would_change": {"type": "array", "items": _TEXT},
            "unknowns": {"type": "array", "items": _TEXT},
            "knowledge_hash": _TEXT,
            "as_of": _MAYBE_TEXT,
        }
    ),
}
