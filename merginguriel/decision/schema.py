"""What keys does `mu advise --json` print, and of which type? JSON Schema, draft 2020-12."""

from __future__ import annotations

from typing import Any

from merginguriel.knowledge.parse.rows import PAIRWISE

Schema = dict[str, Any]


def _is(kind: Any, says: str, **more: Any) -> Schema:
    return {"type": kind, "description": says, **more}


def _text(says: str) -> Schema:
    return _is("string", says)


def _number(says: str) -> Schema:
    return _is("number", says)


def _maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _one_of(says: str, *choice: str | None) -> Schema:
    return {"enum": list(choice), "description": says}


def _list(says: str, items: Schema) -> Schema:
    return _is("array", says, items=items)


def _interval(says: str) -> Schema:
    return _list(says, {"type": "number"}) | {"minItems": 2, "maxItems": 2}


def _share(says: str) -> Schema:
    return _is("number", says, minimum=0, maximum=1)


def _object(says: str, required: Schema, optional: Schema | None = None) -> Schema:
    return _is(
        "object",
        says,
        properties={**required, **(optional or {})},
        required=list(required),
        additionalProperties=False,
    )


_N = _is("integer", "Test items.")
_REF = _text("Row it comes from: <entry id>#r<n>.")
_MODE = _one_of("ExcTar: the target's own model is not among the sources. IncTar: it is.", "ExcTar", "IncTar")
_CONTEXT = _text("Task and base model, like massive/xlm-roberta-base.")
_LABEL = _text("Method, similarity, number of sources and parameters, as one text.")
_DATE = _text("Date of the log entry, YYYY-MM-DD.")
_BASELINE_KIND = _one_of("What a merge has to beat.", "best_single_source", "target_alone")
_GAIN = {
    "mean_pp": _number("Expected gain over the baseline, percentage points."),
    "ci80_pp": _interval("80% interval of the gain, pp."),
    "ci90_pp": _interval("90% interval of the gain, pp."),
    "p_positive": _share("P(gain > 0)."),
    "p_worth": _share("P(gain > min_gain_pp)."),
}
_SOURCE = _object(
    "A source model.",
    {
        "locale": _text("Its locale."),
        "weight": _maybe(_number("Its weight in the merge; null where the log does not say.")),
        "reason": _text("Why it was chosen."),
        "ref": _maybe(_REF),
    },
)
_RECIPE = _object(
    "The recipe that the verdict is about.",
    {
        "method": _text("Merging method."),
        "params": _is("object", "Its parameters.", additionalProperties={"type": "string"}),
        "similarity": _one_of("By what sources are chosen and weighed.", "URIEL", "REAL", None),
        "k": _maybe(_is("integer", "Number of sources.")),
        "sources": _list("The sources, where the log can name them.", _SOURCE),
        "sources_missing": _is("integer", "Sources that the log cannot name."),
        "note": _text("How the sources were found, or what is known of those that are missing."),
        "runnable": _is("boolean", "Can this program run it? False for what was measured elsewhere."),
        "vetoed_by": _maybe(_text("The claim that forbids this recipe, if one does.")),
        "compatibility": _list(
            "How well the sources fit each other, where the log has it (mu compat --log).",
            _object(
                "The mean of one measure over the pairs of sources.",
                {
                    "measure": _one_of("What was measured.", *PAIRWISE),
                    "value": _number("Mean over the pairs."),
                    "sds": _number("Its distance from the mean of all pairs, in standard deviations."),
                    "slope_pp": _number("What one standard deviation more does to a gain, pp."),
                    "slope_sd_pp": _number("How sure that is: its standard deviation, pp."),
                    "contribution_pp": _number("Part of the expected gain, pp."),
                },
            ),
        ),
    },
)
_BASELINE = _object(
    "The figure to beat.",
    {
        "kind": _BASELINE_KIND,
        "value": _maybe(_number("Its accuracy, a fraction; null if not known.")),
        "n": _maybe(_N),
        "model": _maybe(_text("The model that has it, if known.")),
        "tied": _list("Other models with the same accuracy.", {"type": "string"}),
        "how": _text("How it was chosen."),
        "ref": _maybe(_REF),
        "better": _maybe(
            _object(
                "A single model that the log knows to be better, which the recorded gains were not counted from.",
                {
                    "model": _text("Its locale."),
                    "value": _number("Its accuracy, a fraction."),
                    "ref": _REF,
                },
            )
        ),
    },
)
_SAW = _maybe(
    _text("The most that it used of the target, as far as the rows say: nothing, unlabelled text, labels.")
)
_EVIDENCE = _object(
    "A row, or the rows of other targets together (kind `prior`).",
    {
        "ref": _text("<entry id>#r<n>, or `prior` for the rows of other targets."),
        "recipe": _LABEL,
        "gain_pp": _number("Measured gain, pp. For an effect: effect − gap; for the prior: the mean."),
        "kind": _one_of(
            "gain: over the baseline. effect: inferred from the mean of the sources. prior: other targets. "
            "Else why it is not counted.",
            "gain", "effect", "prior", "contested", "invalidated", "superseded",
        ),
    },
    {
        "date": _DATE,
        "context": _CONTEXT,
        "target": _text("Locale."),
        "value": _maybe(_number("Accuracy of the merge, a fraction.")),
        "baseline": _maybe(_number("Accuracy that it is compared with, a fraction.")),
        "se_pp": _maybe(_number("Standard error of the gain, pp; for the prior the spread, null for one row.")),
        "n": _maybe(_N),
        "paired": _is("boolean", "Were wins and losses recorded?"),
        "saw": _SAW,
        "p_value": _share("Two-sided p that the gain is zero."),
        "within_noise": _is("boolean", "Is p 0.05 or more?"),
        "contribution_pp": _maybe(_number("Its part of gain.mean_pp, pp; the parts add up to it.")),
        "refs": _list("The rows that a prior stands for.", {"type": "string"}),
        "note": _text("The row's note."),
    },
)  # fmt: skip
_RULE = _object(
    "A claim that bears on the question.",
    {
        "claim": _text("Its id."),
        "skill": _text("The skill that it stands in."),
        "predicate": _text("forbids, beats, fails, requires or prefers."),
        "text": _text("What it says."),
        "status": _text("How it stands against the log: supported, under noise, contested."),
        "reason": _text("Why it stands so."),
    },
)
_ALTERNATIVE = _object(
    "Another recipe by its predicted gain, or what the other mode scored.",
    {"what": _LABEL, "mode": _MODE},
    {
        **_GAIN,
        "measured_here": _is("boolean", "Was it measured on this target?"),
        "runnable": _is("boolean", "Can this program run it?"),
        "saw": _SAW,
        "passed_over": _maybe(_text("The claim that prefers another recipe.")),
        "needs": _text("What the other mode needs."),
        "value": _number("Accuracy, a fraction."),
        "baseline_kind": _BASELINE_KIND,
        "baseline": _maybe(_number("Accuracy that it is compared with, a fraction.")),
        "gain_pp": _number("Measured gain, pp."),
        "se_pp": _number("Its standard error, pp."),
        "n": _maybe(_N),
        "ref": _REF,
    },
)
_PILOT = _object(
    "One trial of the recipe: worth, cost, and what it could see.",
    {
        "arms": _list("What would be merged.", {"type": "string"}),
        "measure": _text("What would be measured."),
        "n": _maybe(_N),
        "value_pp": _number("Expected gain from deciding after the trial, pp."),
        "cost_pp": _number("What its work is set to cost, pp."),
        "sees_pp": _number("Smallest gain that it finds with 80% power, pp."),
        "sees_how": _text("Where the variance behind sees_pp comes from."),
        "cost": _is(
            "object", "The work: merges, evaluations, trainings.", additionalProperties={"type": "integer"}
        ),
    },
)
_CALIBRATION = _object(
    "How well the same model predicts targets that it has not seen; null with fewer than three targets.",
    {
        "how": _text("How it was checked."),
        "targets": _is("integer", "Targets left out in turn."),
        "predictions": _is("integer", "Rows predicted."),
        "inside80": _share("Share inside the 80% interval."),
        "inside90": _share("Share inside the 90% interval."),
        "mean_error_pp": _number("Mean absolute error, pp."),
    },
)

ADVICE: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "MergingUriel advice",
    **_object(
        "What `mu advise --json` prints.",
        {
            "target": _text("The locale to serve."),
            "mode": _MODE,
            "context": _CONTEXT,
            "metric": _text(
                "Metric of every value and gain: differences are in hundredths of its unit (pp for shares)."
            ),
            "verdict": _one_of("What to do.", "merge", "pilot", "no-merge", "unknown"),
            "why": _text("The rule that gave the verdict, with its figures."),
            "summary": _text("The answer in a sentence."),
            "recipe": _RECIPE,
            "gain": _object("Expected gain of the recipe over the baseline.", _GAIN),
            "min_gain_pp": _number("Smallest gain worth a merge, pp."),
            "mde_pp": _maybe(_number("Smallest gain that a paired test finds with 80% power, pp.")),
            "baseline": _BASELINE,
            "evidence": _list("What the expected gain rests on.", _EVIDENCE),
            "dissent": _list(
                "Rows that point against the verdict, and rows that are not counted.", _EVIDENCE
            ),
            "rules": _list("Claims that bear on the question.", _RULE),
            "alternatives": _list("What else could be done.", _ALTERNATIVE),
            "pilot": _PILOT,
            "calibration": {"anyOf": [{"type": "null"}, _CALIBRATION]},
            "would_change": _list("What would change the verdict.", {"type": "string"}),
            "unknowns": _list("What is not known.", {"type": "string"}),
            "next": _list("The commands that follow, each with a remark in brackets.", {"type": "string"}),
            "knowledge_hash": _text("Names the knowledge that was used."),
            "as_of": _maybe(_text("The day that the question was put as of, YYYY-MM-DD.")),
        },
        {
            "budget": _is(
                "integer", "The most pieces of work that a pilot may take, where that was asked.", minimum=0
            )
        },
    ),
}
