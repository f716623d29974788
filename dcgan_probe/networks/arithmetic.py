"""What a device computes fast."""

from __future__ import annotations

import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a CPU has instructions for products in bfloat16, summed in float32.

    >>> isinstance(multiplies_bfloat16(torch.device("cpu")), bool)
    True

    False for other devices, and where torch does not say. A CPU without them computes bfloat16 in
    software.
    """
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
