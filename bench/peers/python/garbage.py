"""Python's garbage collector as our server sets it, so that no peer is measured with pauses that ours was spared."""

import gc


def settle() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 1, 10_000)
