"""Switch off cuDNN's attention, whose backward pass gives NaN gradients on Hopper GPUs (pytorch/pytorch#196678).

With an explicit mask, a padded length that is 64 modulo 128 and a query row that is all padding (prompts padded on the
left, so GRPO), the gradient of the queries is NaN while loss and output stay finite: torch 2.11 to 2.13 with cuDNN 9.15
to 9.25. PyTorch's other kernels are as fast here. Every process that trains, and the engine `transformers`, calls this
before a model is loaded; vLLM does the same in its own processes.
"""


def switch_off_cudnn_attention() -> None:
    """Have scaled_dot_product_attention choose among PyTorch's own kernels. Does nothing to a CPU."""
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)
