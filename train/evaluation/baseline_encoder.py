"""The baseline `encoder`: a model of transformers (BERT and its kin), fine-tuned with a head over the training codes.

    predict = train_encoder(notes, "emilyalsentzer/Bio_ClinicalBERT", seed=42)

Notes are cut at 512 tokens, the end of most encoders: chief complaint and history of present illness come first. Three
epochs of AdamW at 5e-5 with a linear decay, 16 notes per step; the head starts from nothing and learns ten times as
fast. Tried on a CPU with a tiny model only.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from deepicd.errors import DeepicdError, advise_install
from deepicd.icd10cm import Code
from train.data import LabelledNote

EPOCHS = 3
BATCH = 16
LEARNING_RATE = 5e-5
HEAD_RATE = 10  # times the learning rate
MAX_TOKENS = 512

logger = logging.getLogger(__name__)


def train_encoder(notes: Sequence[LabelledNote], model: str, seed: int) -> Callable[[Sequence[str]], list[Code]]:
    """Return what predicts codes with an encoder that has been fine-tuned on the notes. Raises DeepicdError."""
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup
    except ImportError as error:
        raise DeepicdError(
            "The baseline encoder needs PyTorch and transformers.", f"Install them: {advise_install('trl')}"
        ) from error
    torch.manual_seed(seed)
    codes = sorted({note.code for note in notes})
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        network = AutoModelForSequenceClassification.from_pretrained(model, num_labels=len(codes))
    except (OSError, ValueError) as error:
        raise DeepicdError(
            f"{model} could not be loaded as an encoder ({type(error).__name__}).",
            "Name a folder, or a model on the Hub that transformers can classify with: BERT, RoBERTa, ModernBERT, …",
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    longest = min(
        MAX_TOKENS, getattr(network.config, "max_position_embeddings", MAX_TOKENS), tokenizer.model_max_length
    )

    def encode(texts: Sequence[str]) -> Any:
        return tokenizer(list(texts), truncation=True, max_length=longest, padding=True, return_tensors="pt").to(device)

    base = {id(parameter) for parameter in network.base_model.parameters()}
    head = [parameter for parameter in network.parameters() if id(parameter) not in base]
    groups = [
        {"params": list(network.base_model.parameters())},
        {"params": head, "lr": HEAD_RATE * LEARNING_RATE},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    steps = EPOCHS * -(-len(notes) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 20, steps)
    index = {code: number for number, code in enumerate(codes)}
    network.train()
    for step, batch in enumerate(_draw_batches(notes, seed), 1):
        labels = torch.tensor([index[note.code] for note in batch], device=device)
        loss = network(**encode([note.note for note in batch]), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps:
            logger.info("Encoder: step %s of %s, loss %.3f", f"{step:,}", f"{steps:,}", loss.item())
    if not torch.isfinite(loss):
        raise DeepicdError(
            "The loss of the encoder is not finite.", "Name another encoder: --model NAME, or use --baseline tfidf."
        )
    network.eval()

    def predict(texts: Sequence[str]) -> list[Code]:
        predicted: list[Code] = []
        with torch.inference_mode():
            for start in range(0, len(texts), 4 * BATCH):
                scores = network(**encode(texts[start : start + 4 * BATCH])).logits
                predicted += [codes[place] for place in scores.argmax(dim=-1).tolist()]
        return predicted

    return predict


def _draw_batches(notes: Sequence[LabelledNote], seed: int) -> Iterator[Sequence[LabelledNote]]:
    import random

    chance = random.Random(seed)
    for _ in range(EPOCHS):
        order = chance.sample(notes, len(notes))
        for start in range(0, len(order), BATCH):
            yield order[start : start + BATCH]
