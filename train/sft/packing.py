"""Several rows in one sequence (packing), so that few tokens of a step are padding.

    count_sequences([300, 200, 700], max_length=1000)     # 2
    check_rows_stay_apart(trainer)                        # raises DeepicdError if a row reads the one before it

TRL packs by best fit, rows never cut. Whether rows see each other is decided by the attention, silently: TRL hands over
positions that start again at 0 with each row; a model may make a mask of them or ignore them. So the model is asked.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    import torch
    from trl import SFTTrainer

PROBE_TOKENS = 8  # per row of the probe
LARGEST_SHARE = 0.01
"""Of the change that reading the other row would make. Rounding in float32 makes less than a thousandth of it."""


def count_sequences(lengths: Sequence[int], max_length: int) -> int:
    """Return how many sequences TRL makes of rows of these lengths (tokens)."""
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset, disable_progress_bars
    from trl.data_utils import pack_dataset

    disable_progress_bars()
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    rows = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(np.zeros(ends[-1], np.int8)))
    return len(pack_dataset(Dataset(pa.table({"input_ids": rows})), max_length, "bfd"))


def check_rows_stay_apart(trainer: "SFTTrainer") -> None:
    """Raise DeepicdError if the second of two packed rows is read otherwise than alone.

    The model is asked as TRL asks it in training, but in evaluation mode. FlashAttention takes no float32 outside of
    training, and keeps rows apart by itself: it is not asked. Nor is a process that has no weights yet (FSDP).
    """
    import torch

    model = trainer.model
    weight = next(model.parameters())
    if trainer.args.model_init_kwargs["attn_implementation"] == "flash_attention_2" or weight.is_meta:
        return
    ids = torch.randint(model.config.get_text_config().vocab_size, (2, PROBE_TOKENS), generator=_seed())
    packed = trainer.data_collator([
        {"input_ids": ids.flatten().tolist(), "labels": ids.flatten().tolist(), "seq_lengths": [PROBE_TOKENS] * 2}
    ])  # fmt: skip
    packed.pop("labels")
    training = model.training
    model.eval()
    with torch.no_grad():
        alone, together, joined = (
            model(**{name: _move(value, weight) for name, value in arguments.items()}).logits[0, -PROBE_TOKENS:]
            for arguments in ({"input_ids": ids[1:]}, packed, {"input_ids": ids.view(1, -1)})
        )
    model.train(training)
    change, leak = (float((logits - alone).abs().max()) for logits in (together, joined))
    if not change <= LARGEST_SHARE * leak:
        raise DeepicdError(
            f"Packed rows read each other with attention {trainer.args.model_init_kwargs['attn_implementation']!r}:"
            f" the second of two differs by {change:.2g} from itself alone.",
            "Use --set packing=false, or --set attention=flash_attention_2 (needs flash-attn).",
        )


def _seed() -> "torch.Generator":
    import torch

    return torch.Generator().manual_seed(0)


def _move(value: object, weight: "torch.Tensor") -> object:
    import torch

    return value.to(weight.device) if isinstance(value, torch.Tensor) else value
