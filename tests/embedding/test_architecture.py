"""Poolings, heads and adapters: their numbers of parameters, gradients and files."""

import pytest

pytest.importorskip("sentence_transformers")
import numpy as np
import torch
import transformers
from real_folders import TEXT
from sentence_transformers import SentenceTransformer

from merginguriel.embedding import architecture, mu_modules
from merginguriel.embedding.architecture import Shape
from merginguriel.errors import CheckpointError, IncompatibleError, UsageError
from merginguriel.merging.engine import merge
from merginguriel.merging.recipe import Recipe, Source


def counted(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape(head="linear", out=768), 3_146_496),  # about 3M
        (Shape(head="mlp", out=768, hidden=2048), 9_964_288),  # stated as 18M, which its sizes do not give
        (Shape(head="mlp", out=768, hidden=4096), 19_927_808),  # stated as 35M
    ],
)
def test_heads_on_a_base_4096_wide_have_the_parameters_of_their_sizes(shape, expected):
    with torch.device("meta"):
        assert counted(*architecture.head_modules(4096, shape)) == expected


def test_attention_pooling_adds_as_many_parameters_as_the_base_is_wide():
    assert counted(architecture.pooling_module(4096, "attention")) == 4096


def test_lora_of_rank_16_on_the_last_four_layers_of_a_base_4096_wide():
    """Square query and value matrices: 4 layers × 2 × 16 × (4096 + 4096)."""
    config = transformers.LlamaConfig(
        hidden_size=4096, num_hidden_layers=6, num_attention_heads=32, intermediate_size=64, vocab_size=8
    )
    with torch.device("meta"):
        adapted = architecture.with_lora(transformers.LlamaModel(config), 16, last=4)
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == 1_048_576


def test_attention_pooling_starts_as_the_mean_and_passes_the_gradient_check():
    torch.manual_seed(0)
    pool = mu_modules.AttentionPooling(3).double()
    tokens = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])

    def of(tokens, query):
        call = {"token_embeddings": tokens, "attention_mask": mask}
        return torch.func.functional_call(pool, {"query": query}, (call,))["sentence_embedding"]

    start = of(tokens, torch.zeros(3, dtype=torch.float64))
    assert torch.allclose(start[0], tokens[0, :3].mean(0))
    assert torch.autograd.gradcheck(of, (tokens, torch.randn(3, dtype=torch.float64, requires_grad=True)))


def test_padding_changes_no_vector(base):
    for pooling in ("attention", "0.5*mean+0.5*max", "learned:mean+max"):
        model = architecture.build(base, Shape(pooling=pooling)).eval()
        alone, padded = model.encode(TEXT[:1]), model.encode([TEXT[0], " ".join(TEXT[:4])])
        assert np.allclose(alone[0], padded[0], atol=1e-5)


def test_a_weighted_pooling_is_the_weighted_sum_of_its_parts(base):
    parts = [architecture.build(base, Shape(pooling=name)) for name in ("mean", "max")]
    for model in parts:
        model.pop(-1)  # Normalize
    mean, largest = (model.encode(TEXT) for model in parts)
    model = architecture.build(base, Shape(pooling="0.25*mean+0.75*max"))
    model.pop(-1)
    assert np.allclose(model.encode(TEXT), 0.25 * mean + 0.75 * largest, atol=1e-5)


def test_a_family_head_is_chosen_by_the_script_of_the_tokens():
    made = mu_modules.FamilyHeads(2, 2, ["latin", "cyrillic"], 5)
    made.family.copy_(mu_modules.token_families(["light", "свет", "42", "!", "ምን"], ["latin", "cyrillic"]))
    ids = torch.tensor([[0, 0, 1], [1, 2, 3], [2, 3, 3]])
    assert made.shares(ids, torch.ones_like(ids)).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]
    with pytest.raises(ValueError, match="no head for the script"):
        made.shares(torch.tensor([[4, 4, 0]]), torch.ones(1, 3))


def test_family_heads_start_equal_so_that_languages_that_agree_still_do(base):
    heads = architecture.build(base, Shape(head="family", out=4, families=("latin", "cyrillic")))[2].heads
    assert torch.equal(heads[0].weight, heads[1].weight)


def test_experts_are_mixed_by_a_gate_whose_load_is_recorded():
    torch.manual_seed(0)
    made = mu_modules.MixtureOfExperts(4, 3, 2)
    vector = torch.randn(5, 4)
    share = made.gate(vector).softmax(-1)
    expected = sum(share[:, i : i + 1] * made.expert[i](vector) for i in range(2))
    assert torch.allclose(made({"sentence_embedding": vector})["sentence_embedding"], expected, atol=1e-6)
    assert made.usage.sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    "shape",
    [Shape(pooling="attention"), Shape(head="family", families=("latin",)), Shape(head="residual", out=6)],
)
def test_a_saved_embedder_gives_the_same_vectors_in_plain_sentence_transformers(base, tmp_path, shape):
    model = architecture.build(base, shape)
    architecture.save(model, tmp_path / "saved", "card")
    plain = SentenceTransformer(str(tmp_path / "saved"), trust_remote_code=True)
    assert np.allclose(plain.encode(TEXT), model.encode(TEXT), atol=1e-5)
    assert np.allclose(architecture.load(tmp_path / "saved").encode(TEXT), model.encode(TEXT), atol=1e-5)


def test_code_that_was_changed_is_not_run_without_permission(base, tmp_path):
    architecture.save(architecture.build(base, Shape(pooling="attention")), tmp_path / "saved", "card")
    with (tmp_path / "saved" / "mu_modules.py").open("a") as file:
        file.write("print('hello')\n")
    with pytest.raises(CheckpointError, match="custom module"):
        architecture.load(tmp_path / "saved")


def merged(tmp_path, *folders):
    return merge(Recipe("average", tuple(Source(f.name, f) for f in folders)), tmp_path / "merged")


@pytest.mark.slow
def test_embedders_with_own_modules_are_merged_by_the_engine(base, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        model = architecture.build(base, Shape(pooling="attention", head="experts", out=4))
        torch.nn.init.normal_(model[1].query)
        architecture.save(model, folder, "card")
    both = architecture.load(merged(tmp_path, *folders))
    assert "mu_modules.py" in (tmp_path / "merged" / "README.md").read_text()
    queries = [architecture.load(folder)[1].query for folder in folders]
    assert torch.allclose(both[1].query, (queries[0] + queries[1]) / 2)
    assert both.encode(TEXT).shape == (len(TEXT), 4)


def test_embedders_of_different_width_are_not_merged(base, tmp_path):
    for out in (4, 6):
        architecture.save(
            architecture.build(base, Shape(head="linear", out=out)), tmp_path / f"w{out}", "card"
        )
    with pytest.raises(IncompatibleError, match=r"w4|w6"):
        merged(tmp_path, tmp_path / "w4", tmp_path / "w6")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape(pooling="median"), "unknown pooling"),
        (Shape(pooling="0*mean+1*max"), "unknown pooling"),
        (Shape(head="family", families=("klingon",)), "unknown script family"),
        (Shape(out=8), "needs a head"),
        (Shape(rank=4, last=9), "has 2 layers"),
    ],
)
def test_an_impossible_embedder_is_a_clear_error(base, shape, message):
    with pytest.raises(UsageError, match=message):
        architecture.build(base, shape)
