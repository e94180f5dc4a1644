"""Switch off cuDNN's attention in verl's processes (deepicd.engines.model).

verl loads this module in each of them: VERL_USE_EXTERNAL_MODULES=train.grpo.verl_attention
"""

from deepicd.engines.model import switch_off_cudnn_attention

switch_off_cudnn_attention()
