"""The kernels that exist, fastest first, and the choice among them."""

from __future__ import annotations

from throughtime.errors import OptionError
from throughtime.kernels.native import NATIVE
from throughtime.kernels.reference import REFERENCE
from throughtime.kernels.scan import Kernel, Scan
from throughtime.kernels.torch_builtin import TORCH

KERNELS: dict[str, Kernel] = {kernel.name: kernel for kernel in (NATIVE, TORCH, REFERENCE)}

__all__ = ["KERNELS", "Kernel", "Scan", "pick_kernel"]


def pick_kernel(scan: Scan, wanted: str = "auto") -> Kernel:
    """The fastest kernel that can run this scan, or the one that was asked for.

    Raises:
        OptionError: the kernel is unknown, or cannot run this scan (the message says why).
    """
    if wanted == "auto":
        return next(kernel for kernel in KERNELS.values() if _suits(kernel, scan))
    if wanted not in KERNELS:
        raise OptionError(f"kernel {wanted!r} is unknown: use auto, {', '.join(KERNELS)}")
    kernel = KERNELS[wanted]
    if reason := kernel.reason_against(scan):
        raise OptionError(f"kernel {wanted!r} cannot run this: {reason}; use kernel='auto'")
    return kernel


def _suits(kernel: Kernel, scan: Scan) -> bool:
    # What leaves a scan is asked first: capturing a cell takes a moment.
    return kernel.reason_to_leave(scan) is None and kernel.reason_against(scan) is None
