"""Keeps a model's weights in fewer bytes, by the plan of `core.precision`: what the pipeline and `optimize` call.

Everything here imports torch: only for the worker and the commands.
"""

from atheria_server.optimize.precision.apply import LayerReport, PrecisionReport, apply_precision
from atheria_server.optimize.precision.counted import weight_bytes
from atheria_server.optimize.precision.networks import critical_of, groups_of, layers_of, modules_of
from atheria_server.optimize.precision.peak import measured_peak
from atheria_server.optimize.precision.probe import probe

__all__ = [
    "LayerReport",
    "PrecisionReport",
    "apply_precision",
    "critical_of",
    "groups_of",
    "layers_of",
    "measured_peak",
    "modules_of",
    "probe",
    "weight_bytes",
]
