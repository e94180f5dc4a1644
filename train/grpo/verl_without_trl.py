"""Hide TRL from verl: verl 0.9.1 imports a class from any installed TRL that TRL 1.16 no longer has.

verl loads this module in each of its processes: VERL_USE_EXTERNAL_MODULES=train.grpo.verl_without_trl
"""

import verl.utils.import_utils as import_utils


def _is_trl_available() -> bool:
    return False


import_utils.is_trl_available = _is_trl_available
