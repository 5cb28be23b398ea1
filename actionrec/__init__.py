"""Multi-stream video embeddings and action recognition, distributed on Ray."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actionrec.predict import Predictor as Predictor

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`from actionrec import Predictor` imports what that needs, and `import actionrec` imports nothing."""
    if name == "Predictor":
        from actionrec.predict import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
