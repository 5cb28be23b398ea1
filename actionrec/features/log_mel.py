"""Sound without a network: how loud each of VGGish's mel bands is in an example of 0.96 s, and how much that varies.

Axes: A examples, M = 96 log-mel frames of 10 ms, B = 64 mel bands, E = 2B = 128.
"""

import numpy as np
from numpy.typing import NDArray


def statistics(examples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each band's mean, then each band's standard deviation, over an example: float32 [A, 128] of [A, 1, 96, 64].

    The examples are those of `vggish.log_mel_examples`, so both models hear the same moments of a video.
    """
    bands_AMB = examples[:, 0].astype(np.float64)
    found: NDArray[np.float32] = np.concatenate((bands_AMB.mean(1), bands_AMB.std(1)), axis=1).astype(np.float32)
    return found
