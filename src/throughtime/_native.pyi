"""The native part; see native/README.md."""

import numpy as np
from numpy.typing import NDArray

def version() -> str: ...
def sample(
    logits: NDArray[np.float32],
    uniforms: NDArray[np.float64],
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> NDArray[np.int64]: ...
