"""Look inside: where the gradient goes, what the gates do, what a neuron knows. Needs torch.

Everything here works on any `Recurrent`, and on torch.nn.RNN, LSTM and GRU.
"""

from throughtime.inspection.flow import GradientFlow, LayerFlow, gradient_flow, total_gradient
from throughtime.inspection.gates import GateStatistics, gate_statistics
from throughtime.inspection.jacobian import LayerJacobian, recurrent_spectrum
from throughtime.inspection.trace import Trace, as_recurrent, trace
from throughtime.inspection.truncation import ChunkError, TruncationError, truncation_error

__all__ = [
    "ChunkError",
    "GateStatistics",
    "GradientFlow",
    "LayerFlow",
    "LayerJacobian",
    "Trace",
    "TruncationError",
    "as_recurrent",
    "gate_statistics",
    "gradient_flow",
    "recurrent_spectrum",
    "total_gradient",
    "trace",
    "truncation_error",
]
