"""Statistics of a model on text: its diagonal Fisher information, or the Gram matrices of its layers' inputs.

Statistics are written once per model and text, as a safetensors file beside a record of both; the merge then streams
them like weights. Sentences are never padded: gradients are of one sentence, and what goes through a model together
has the same length.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merginguriel.errors import CheckpointError, UsageError
from merginguriel.files import new_folder
from merginguriel.models import build_record
from merginguriel.models.base_models import model_files
from merginguriel.models.digest_cache import digest
from merginguriel.models.sentence_transformer import body_folder, is_sentence_transformer

if TYPE_CHECKING:
    import torch

FILE, RECORD = "statistics.safetensors", "statistics.yaml"
LONGEST = 128  # tokens; a longer sentence is cut
TOGETHER = 1024  # tokens that go through the model at once for Gram matrices
Rows = Sequence[Sequence[int]]  # token ids of sentences
Progress = Callable[[int, int, str], None]  # sentences done, sentences in all, what is read


def write_statistics(
    kind: str,
    model: Path,
    texts: Sequence[str],
    out: Path,
    *,
    samples: int = 1,
    seed: int = 0,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Write the statistics of the classifier, or the Gram matrices of the embedder, in `model` on `texts` into `out`.

    kind     `importance` (diagonal Fisher, mean 1 over all entries) or `grams` (mean of x xᵀ per linear layer)
    samples  for the Fisher: labels drawn per sentence from the model's answer; 0: all, by their probability
    device   as torch names it; None: a GPU if there is one

    Returns the safetensors file; at once if `out` was made in the same way before. Raises UsageError (no text),
    CheckpointError (not a classifier, or its answers are no numbers), MuError (`out` was made otherwise).
    """
    import torch
    from safetensors.torch import save_file

    from merginguriel.models.classifier import load, load_tokenizer, opened

    embedder, model = is_sentence_transformer(model), body_folder(model)
    made = {
        "kind": kind,
        "model": {path.name: digest(path) for path in sorted(model_files(model))},
        "text": build_record.text_hash(texts),
        "sentences": len(texts),
        **({"samples": samples, "seed": seed} if kind == "importance" else {}),
    }
    if build_record.already(out, RECORD, made):
        return out / FILE
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if embedder:
        from transformers import AutoModel

        classifier, tokenizer = opened(AutoModel, model, encoder_kwargs=True), load_tokenizer(model)
        torch.nn.Module.to(classifier, place)
    else:
        classifier, tokenizer = load(model, device=place)
    rows = token_rows(tokenizer, texts)
    if kind == "importance":
        found = fisher(classifier, rows, samples=samples, seed=seed, on_progress=on_progress)
    else:
        found = grams(classifier, rows, on_progress=on_progress)
    check_finite(found, model)
    with new_folder(out) as folder:
        save_file({name: value.cpu().contiguous() for name, value in found.items()}, folder / FILE)
        build_record.write(folder, RECORD, made, versions=build_record.versions("torch", "transformers"))
    return out / FILE


def file_name(source: str) -> str:
    """Return a source's name in a form valid for a file."""
    return re.sub(r"[^\w.-]", "_", source)


def drawn(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` different sentences of the text by the seed, in their order; all if there are no more.

    Raises UsageError if there are none.
    """
    different = [text for text in dict.fromkeys(text.strip() for text in texts) if text]
    if not different:
        raise UsageError("the text is empty.", hint="It should have one sentence a line.")
    if len(different) <= count:
        return different
    kept = sorted(random.Random(seed).sample(range(len(different)), count))
    return [different[i] for i in kept]


def token_rows(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each sentence. Raises UsageError if there is no sentence."""
    if not texts:
        raise UsageError("there is no text to read.", hint="Give a file of sentences, one a line.")
    return [list(row) for row in tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]]


def fisher(
    model: torch.nn.Module,
    rows: Rows,
    *,
    samples: int = 1,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, torch.Tensor]:
    """Mean squared gradients of log p(y|x) by parameter, [*s] each, divided by their mean over all parameters.

    x are the sentences one by one, y labels drawn from p(·|x) itself (`samples` each), or with `samples` 0 all
    labels, weighted by p. A gradient is squared, added and dropped as soon as it is there, so that the model, the
    sums and the gradient of one tensor are in memory. Word embeddings have sparse gradients meanwhile.
    """
    import torch

    parameters = dict(model.named_parameters())
    sums = {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}
    generator = torch.Generator().manual_seed(seed)
    share = 1.0  # of the label whose gradient is on its way

    def adder(total: torch.Tensor) -> Callable[[torch.Tensor], None]:
        def add(parameter: torch.Tensor) -> None:
            gradient, parameter.grad = parameter.grad, None
            if gradient is None:
                return
            if gradient.is_sparse:
                gradient = gradient.coalesce()
                total.index_add_(0, gradient.indices()[0], gradient.values().square() * share)
            else:
                total.addcmul_(gradient, gradient, value=share)

        return add

    with prepared(model) as stack:
        for name, parameter in parameters.items():
            stack.callback(parameter.requires_grad_, parameter.requires_grad)
            parameter.requires_grad_(True)
            stack.callback(parameter.register_post_accumulate_grad_hook(adder(sums[name])).remove)
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding) and module.num_embeddings > 1000:
                stack.callback(setattr, module, "sparse", module.sparse)
                module.sparse = True
        for done, row in enumerate(rows):
            log_p = torch.log_softmax(logits_of(model, [row])[0].float(), -1)
            p = log_p.detach().exp().cpu()
            if not torch.isfinite(p).all():
                raise CheckpointError(
                    "the model's answers are not numbers (NaN or infinite).", hint="Train it again."
                )
            chosen = (
                range(len(p)) if samples == 0 else torch.multinomial(p, samples, True, generator=generator)
            )
            labels = [int(label) for label in chosen]
            for number, label in enumerate(labels):
                share = float(p[label]) if samples == 0 else 1 / samples
                log_p[label].backward(retain_graph=number + 1 < len(labels))
            if on_progress:
                on_progress(done + 1, len(rows), "sentences")
    mean = sum(float(s.sum()) for s in sums.values()) / sum(s.numel() for s in sums.values())
    for total in sums.values():
        total.div_(max(mean, 1e-38))
    return sums


def grams(
    model: torch.nn.Module, rows: Rows, *, on_progress: Progress | None = None
) -> dict[str, torch.Tensor]:
    """Mean of x xᵀ over the inputs x of every linear layer, [in, in] under the name of its weight."""
    import torch

    with prepared(model) as stack, torch.no_grad():
        sums = stack.enter_context(gathered(model))
        done = 0
        for batch in of_one_length(rows):
            answers_to(model, batch)
            done += len(batch)
            if on_progress:
                on_progress(done, len(rows), "sentences")
        return means(sums)


@contextmanager
def gathered(
    module: torch.nn.Module, prefix: str = ""
) -> Iterator[dict[str, tuple[torch.Tensor, list[int]]]]:
    """Inside the block every linear layer in `module` adds x xᵀ of its inputs, and their number, to the result."""
    import torch

    sums: dict[str, tuple[torch.Tensor, list[int]]] = {}

    def watcher(name: str) -> Callable[..., None]:
        def watch(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            del layer
            x = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).float()
            if name not in sums:
                sums[name] = torch.zeros(x.shape[1], x.shape[1], device=x.device), [0]
            total, count = sums[name]
            total.addmm_(x.T, x)
            count[0] += len(x)

        return watch

    with ExitStack() as stack:
        for name, layer in module.named_modules(prefix=prefix):
            if isinstance(layer, torch.nn.Linear):
                weight = f"{name}.weight" if name else "weight"
                stack.callback(layer.register_forward_pre_hook(watcher(weight)).remove)
        yield sums


def means(sums: dict[str, tuple[torch.Tensor, list[int]]]) -> dict[str, torch.Tensor]:
    """Divide each sum by its count."""
    return {name: total / count[0] for name, (total, count) in sums.items()}


def of_one_length(rows: Rows, tokens: int = TOGETHER) -> list[list[Sequence[int]]]:
    """Split the sentences into batches of equal length, each of at most `tokens` tokens, or one sentence."""
    by_length: dict[int, list[Sequence[int]]] = {}
    for row in rows:
        by_length.setdefault(len(row), []).append(row)
    batches = []
    for length, same in sorted(by_length.items()):
        size = max(tokens // max(length, 1), 1)
        batches += [same[at : at + size] for at in range(0, len(same), size)]
    return batches


def logits_of(model: torch.nn.Module, batch: Rows) -> torch.Tensor:
    """[b, labels] for sentences of one length."""
    return answers_to(model, batch).logits


def answers_to(model: torch.nn.Module, batch: Rows) -> Any:
    """Return the outputs of the model for sentences of one length."""
    import torch

    ids = torch.tensor([list(row) for row in batch], device=next(model.parameters()).device)
    return model(input_ids=ids, attention_mask=torch.ones_like(ids))


@contextmanager
def prepared(model: torch.nn.Module) -> Iterator[ExitStack]:
    """Set the model to evaluation mode inside the block; yield a stack that undoes changes to it."""
    training = model.training
    model.eval()
    with ExitStack() as stack:
        stack.callback(model.train, training)
        yield stack


def check_finite(found: dict[str, torch.Tensor], model: Path) -> None:
    """Raise CheckpointError if a statistic is NaN or infinite."""
    broken = next((name for name, value in found.items() if not value.isfinite().all()), None)
    if broken:
        raise CheckpointError(
            f"the statistics of {broken} on this text are not numbers (NaN or infinite).",
            where=str(model),
            hint="The model's training went wrong: train it again, or leave this source out.",
        )
