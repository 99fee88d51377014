"""Losses, mining and training of an embedder."""

import json

import pytest

pytest.importorskip("sentence_transformers")
import numpy as np
import torch
from real_folders import TEXT
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from merginguriel.embedding import architecture, losses, training
from merginguriel.embedding.architecture import Shape
from merginguriel.embedding.training import Settings, Window
from merginguriel.errors import MuError, UsageError
from merginguriel.tasks.pairs import Example, read

QUICK = Settings(steps=2, batch=4)


def test_circle_loss_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    scores, own = torch.rand(3, 5, dtype=torch.float64) * 2 - 1, torch.eye(3, 5, dtype=torch.bool)
    margin, scale, total = 0.25, 8.0, 0.0
    for q in range(3):
        s_p = scores[q, q]
        inner = torch.exp(-scale * (1 + margin - s_p).relu() * (s_p - (1 - margin)))
        total += torch.log(
            1
            + inner
            * sum(
                torch.exp(scale * (s + margin).relu() * (s - margin))
                for d, s in enumerate(scores[q])
                if d != q
            )
        )
    assert losses.circle(scores, own, margin, scale).item() == pytest.approx((total / 3).item())


def test_circle_loss_passes_the_gradient_check_with_its_weights_fixed(monkeypatch):
    torch.manual_seed(0)
    scores, own = torch.rand(2, 4, dtype=torch.float64, requires_grad=True), torch.eye(2, 4, dtype=torch.bool)
    fixed = scores.detach().clone()
    monkeypatch.setattr(
        torch.Tensor, "detach", lambda self: fixed if self.shape == fixed.shape else self.data
    )
    assert torch.autograd.gradcheck(lambda s: losses.circle(s, own, 0.25, 8.0), (scores,))


@pytest.mark.slow
@pytest.mark.parametrize("loss", list(losses.LOSSES))
def test_every_loss_trains_an_embedder_that_plain_sentence_transformers_loads(base, examples, tmp_path, loss):
    teacher = base if loss in losses.TAUGHT else None
    made = training.train(
        base, examples, tmp_path / "out", Shape(), Settings(steps=3, batch=4, loss=loss), teacher=teacher
    )
    found = SentenceTransformer(str(made.folder)).encode(TEXT)
    assert np.isfinite(found).all() and not np.allclose(
        found, architecture.load(base).encode(TEXT), atol=1e-6
    )


@pytest.mark.parametrize("loss", ["triplet", "gist"])
def test_losses_of_one_negative_take_the_mean_over_several(base, loss):
    model, teacher = architecture.load(base), architecture.load(base)
    found = losses.find(loss, model, teacher=teacher, margin=None, batch=2)
    query, positive, *negatives = (model.preprocess(texts) for texts in zip(TEXT[:5], TEXT[3:], strict=False))
    both, *single = (
        found([dict(f) for f in (query, positive, *some)], None).item()
        for some in (negatives[:2], negatives[:1], negatives[1:2])
    )
    assert single[0] != single[1] and both == pytest.approx(sum(single) / 2)


@pytest.mark.slow
def test_training_lowers_the_loss(base, examples, tmp_path):
    start, end = (
        training.train(
            base,
            examples,
            tmp_path / str(n),
            Shape(pooling="attention"),
            Settings(steps=n, batch=8, learning_rate=3e-3),
        ).loss
        for n in (1, 30)
    )
    assert end < start / 2


@pytest.mark.slow
def test_an_adapter_is_merged_into_the_base_and_written_beside_it(base, examples, tmp_path):
    seen = []
    made = training.train(
        base, examples, tmp_path / "out", Shape(rank=2, last=1), QUICK, on_parameters=seen.append
    )
    assert seen[0]["adapter"] == (2 * 2 * 2 * 16, 2 * 2 * 2 * 16) and seen[0]["base"][0] == 0
    assert (made.folder / "adapter" / "adapter_model.safetensors").is_file()
    assert json.loads((made.folder / "modules.json").read_text())[0]["path"] == ""
    assert SentenceTransformer(str(made.folder)).encode("light").shape == (16,)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mnrl", "triplet"])
def test_the_head_learning_rate_is_that_of_the_head_only(base, examples, tmp_path, loss):
    given = Settings(steps=3, batch=4, loss=loss, learning_rate=0.0, head_rate=0.01)
    made = training.train(base, examples, tmp_path / "out", Shape(head="linear"), given)
    start, end = (load_file(folder / "model.safetensors") for folder in (base, made.folder))
    assert all(torch.equal(start[name], value) for name, value in end.items())
    assert not torch.equal(architecture.load(made.folder)[2].linear.weight, torch.eye(16))


@pytest.mark.slow
def test_a_base_without_a_head_is_trained_at_its_own_rate(base, examples, tmp_path):
    a, b = (
        training.train(base, examples, tmp_path / name, Shape(), Settings(steps=2, batch=4, head_rate=rate))
        for name, rate in (("a", None), ("b", 0.01))
    )
    one, other = ((made.folder / "model.safetensors").read_bytes() for made in (a, b))
    assert one == other


@pytest.mark.slow
def test_equal_seeds_give_equal_models(base, examples, tmp_path):
    a, b = (
        training.train(base, examples, tmp_path / n, Shape(head="linear", out=8), QUICK).folder for n in "ab"
    )
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()


def test_mined_negatives_are_documents_of_other_queries_within_the_window(base, examples):
    model = architecture.load(base)
    found = training.mine(model, examples, Window(2, 1, 5, None))
    documents = model.encode([one.positive for one in examples], normalize_embeddings=True)
    for one in found:
        order = np.argsort(-(documents @ model.encode(one.query, normalize_embeddings=True)))
        ranked = [examples[i].positive for i in order if examples[i].positive != one.positive]
        assert len(one.negatives) == 2 and all(1 <= ranked.index(text) < 5 for text in one.negatives)


def test_a_window_beyond_the_documents_is_a_clear_error(base, examples):
    with pytest.raises(UsageError, match="8 documents have no ranks 50 to 300"):
        training.mine(architecture.load(base), examples, Window())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no pairs"),
        ('{"query": "a"}', ":1: the query 'a' has no positive"),
        ('{"positive": "a"}', ":1: no query"),
        ('{"query": "a", "positive": ["b", "c"]}', ":1: the query 'a' has no positive text"),
        ('{"sentence1": "a", "sentence2": "b", "score": 0.0}', ":1: the column score grades pairs"),
        ('{"query": "a", "positive": "b"}\n[1]', ":2: this line is not a JSON object"),
        ('[{"query": "a"}]', "one JSON object per line"),
    ],
)
def test_faulty_pairs_are_a_clear_error_with_their_line(tmp_path, text, message):
    (tmp_path / "pairs.jsonl").write_text(text)
    with pytest.raises(MuError) as caught:
        read(tmp_path / "pairs.jsonl")
    assert message in str(caught.value)


def test_negatives_are_read_from_lists_and_from_columns(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"anchor": "a", "positive": "b", "negatives": ["c", "d"]}')
    (tmp_path / "a.tsv").write_text("query\tpositive\tnegative\tnegative_2\na\tb\tc\td\n")
    assert read(tmp_path / "a.jsonl") == read(tmp_path / "a.tsv") == [Example("a", "b", ("c", "d"))]


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        (Shape(), Settings(loss="distill"), "needs a teacher"),
        (Shape(), Settings(loss="triplet"), "needs negatives"),
        (Shape(frozen=True), Settings(), "nothing to train"),
        (Shape(head="family", families=("cyrillic",)), Settings(), "the family latin, which has no head"),
        (Shape(head="family", families=("klingon",)), Settings(), "unknown script family 'klingon'"),
    ],
)
def test_contradictory_options_are_a_clear_error(base, tmp_path, shape, settings, message):
    with pytest.raises(UsageError, match=message):
        training.train(base, [Example("light", "music")], tmp_path / "out", shape, settings)


def test_a_script_that_the_router_does_not_know_is_a_clear_error(base, tmp_path):
    with pytest.raises(UsageError, match="no known family"):
        training.train(base, [Example("ᚠᚢᚦ", "light")], tmp_path / "out", Shape(head="family"), QUICK)


@pytest.mark.slow
def test_the_command_mines_trains_and_writes_a_model_for_each_family(mu, base, examples, tmp_path):
    rows = [{"query": one.query, "positive": one.positive} for one in examples]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert mu("init", tmp_path / "space").code == 0
    words = ["embed", "train", tmp_path / "pairs.jsonl", "--base", base, "--out", tmp_path / "out", "--steps", 1, "--batch-size", 4,
             "--workspace", tmp_path / "space"]  # fmt: skip
    found = mu(
        *words, "--mine", 1, "--mine-ranks", "1-5", "--mine-margin", 0, "--lora-rank", 2, "--lora-families"
    )
    assert found.code == 0, found.err
    assert "adapter" in found.out and (tmp_path / "out" / "latin" / "modules.json").is_file()
    again = mu(*words)
    assert again.code == 2 and "exists" in again.err
    assert mu(*words, "--lora-families", "--dry-run").code == 2


def test_a_query_in_no_known_script_has_no_family_adapter():
    with pytest.raises(UsageError, match="in no known script"):
        training.by_family([Example("ᚠᚢᚦ", "light")])
