"""verl 0.9.1 takes a class from any TRL it finds that TRL 1.16 no longer has; told that there is none, it goes on.

Loaded by verl itself in each of its processes: VERL_USE_EXTERNAL_MODULES=train.grpo.verl_without_trl
"""

import verl.utils.import_utils as import_utils


def _none() -> bool:
    return False


import_utils.is_trl_available = _none
