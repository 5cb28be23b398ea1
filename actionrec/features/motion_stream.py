"""The stream motion: the motion CNN's embeddings of stacks of flow, at the sampled frames. Made from stored streams."""

from actionrec.config import Config
from actionrec.features.cost import Cost, counted
from actionrec.features.motion_cnn import EMBEDDING_WIDTH, MotionCNN
from actionrec.features.stacks import STACK_LENGTH

CLASSES = 101  # as many as UCF101's


def cost(config: Config) -> Cost:
    """Of a stack of flow."""
    height, width = config.flow.stored_height, config.flow.stored_width
    network = counted(
        lambda: MotionCNN(height, width, CLASSES, 0.5, config.motion.hidden).eval(),
        (1, 2 * STACK_LENGTH, height, width),
    )
    return Cost(EMBEDDING_WIDTH, network.gflop)
