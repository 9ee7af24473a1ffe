"""What the network computes and learns: the readable reference, with no word about hardware.

`reference` holds the forward pass, the gradients and the two learning rules; `uncertainty` what a set of
Monte Carlo logits says; `policies` when to ask the oracle for a label; `metrics` what was learned, forgotten
and frozen. All of it is plain NumPy on bare arrays, written to be read beside the paper. The fast kernels are
tested against it.

Note that the name `uncertainty` in this package is the function, not the module that defines it.
"""

from __future__ import annotations

from bimu_hw.learning.metrics import backward_transfer as backward_transfer
from bimu_hw.learning.metrics import expected_calibration_error as expected_calibration_error
from bimu_hw.learning.metrics import last_k_average as last_k_average
from bimu_hw.learning.metrics import mean_accuracy as mean_accuracy
from bimu_hw.learning.metrics import memory_rigidity_resilience as memory_rigidity_resilience
from bimu_hw.learning.metrics import newest_task_accuracy as newest_task_accuracy
from bimu_hw.learning.metrics import plasticity as plasticity
from bimu_hw.learning.metrics import posterior_entropy as posterior_entropy
from bimu_hw.learning.metrics import relearning_gain as relearning_gain
from bimu_hw.learning.metrics import roc_auc as roc_auc
from bimu_hw.learning.metrics import saturated_fraction as saturated_fraction
from bimu_hw.learning.metrics import sign_flip_rate as sign_flip_rate
from bimu_hw.learning.metrics import time_to_freeze as time_to_freeze
from bimu_hw.learning.policies import Evidence as Evidence
from bimu_hw.learning.policies import LabelPolicy as LabelPolicy
from bimu_hw.learning.policies import policy_from_spec as policy_from_spec
from bimu_hw.learning.reference import bayesbinn_delta as bayesbinn_delta
from bimu_hw.learning.reference import bimu_delta as bimu_delta
from bimu_hw.learning.reference import forward as forward
from bimu_hw.learning.reference import loss_and_grad as loss_and_grad
from bimu_hw.learning.uncertainty import Uncertainty as Uncertainty
from bimu_hw.learning.uncertainty import uncertainty as uncertainty
