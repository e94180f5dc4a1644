"""Change in verl's processes what verl has no option for.

verl loads this module in each of them: VERL_USE_EXTERNAL_MODULES=train.grpo.verl_patches

* TRL is hidden: verl 0.9.1 imports a class from any installed TRL that TRL 1.16 no longer has.
* cuDNN's attention is off (deepicd.engines.model).
"""

import verl.utils.import_utils as import_utils

from deepicd.engines.model import switch_off_cudnn_attention


def _is_trl_available() -> bool:
    return False


import_utils.is_trl_available = _is_trl_available
switch_off_cudnn_attention()
