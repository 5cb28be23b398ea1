"""Where everything lies under a root: the only place that spells a key."""

import hashlib
import re
from collections.abc import Sequence

CONFIG = "config.yaml"
CATALOG = "catalog.parquet"
PLANS = "features/plan/"
STATUS = "features/status/"
REOPENED = "features/reopened/"
TAKEN = "features/taken/"
TABLES = "tables/"
EMBEDDINGS = "embeddings/"
MODELS = "models/"
HOLDOUT = "holdout/"
BASELINES = "baselines/"
WEIGHTS = "weights/"
LOGS = "logs/"  # of the tools that `log` names
REPORT = "report/index.html"
SEARCH = "report/search.html"
STAGES = "stages/"
REPLACING = "replacing/"
TUNE_RNN = "tune/rnn/"
TUNE_SVM = "tune/svm/"
HISTORY, JOURNAL = "history.json", "history.jsonl"  # of a model, in its folder: the whole; the epochs as they come
FRAME_CNN, MOTION_CNN, FUSION, AUTOENCODER = "frame_cnn", "motion_cnn", "fusion", "autoencoder"  # names of models


def stage(name: str) -> str:
    """What a stage was made with, written when the stage first starts."""
    return f"{STAGES}{name}.json"


def replacement(name: str) -> str:
    """That a --replace of the stage has deleted what was there, and has not come to its end."""
    return f"{REPLACING}{name}.json"


def model(name: str, further_seed: int | None = None) -> str:
    """The folder of a trained model: NAME's own for the first of `seeds`, a folder below it for a further one."""
    return f"{MODELS}{name}/" if further_seed is None else f"{MODELS}{name}/seed-{further_seed}/"


def rnn(stream: str) -> str:
    """The name of a stream's recurrent network."""
    return f"rnn-{stream}"


def baseline(name: str, further_seed: int | None = None) -> str:
    """The folder of a system of Table II: what its networks are, and how it scores."""
    return f"{BASELINES}{name}/" if further_seed is None else f"{BASELINES}{name}/seed-{further_seed}/"


def baseline_network(name: str, network: str, further_seed: int | None = None) -> str:
    """The folder of one of its networks."""
    return f"{baseline(name, further_seed)}{network}/"


def baseline_scores(name: str, further_seed: int | None = None) -> str:
    """What it says of the videos, written last."""
    return f"{baseline(name, further_seed)}scores.parquet"


def video_embeddings(further_seed: int | None = None) -> str:
    return f"{EMBEDDINGS}video.parquet" if further_seed is None else f"{EMBEDDINGS}seed-{further_seed}/video.parquet"


def trial(name: str, seed: int, kind: str = "json") -> str:
    """What came of training one row of Table I with one seed; as safetensors, its unfinished training; as jsonl, its
    epochs as they come."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())
    return f"{TUNE_RNN}{slug}-seed-{seed}.{kind}"


def svm_trial(streams: Sequence[str], normalization: str, seed: int) -> str:
    """What the SVM on these streams came to with one seed's embeddings, for every L2 weight."""
    return f"{TUNE_SVM}{'+'.join(streams)}-{normalization}-seed-{seed}.json"


def tables(name: str) -> str:
    """What the keys of a table begin with, whatever its kind."""
    return f"{TABLES}{name}."


def table(name: str, kind: str = "parquet") -> str:
    return f"{tables(name)}{kind}"


def plan(generation: int) -> str:
    """The parts planned by the `generation`-th extract that found new videos."""
    return f"{PLANS}{generation:06d}.parquet"


def feature(stream: str, part: int) -> str:
    return f"{features(stream)}part-{part:06d}.parquet"


def features(stream: str) -> str:
    return f"features/{stream}/"


def marks(stream: str) -> str:
    """What the commit marks of a stream's parts begin with."""
    return f"{STATUS}{stream}-"


def commit_mark(stream: str, part: int) -> str:
    """Written last: what was made of a part for a stream is trusted only when this key exists."""
    return f"{marks(stream)}{part:06d}.parquet"


def reopened_parts(stream: str) -> str:
    """What the keys of `reopened` begin with."""
    return f"{REOPENED}{stream}-"


def reopened(stream: str, part: int) -> str:
    """What is still good of a part that has lost a stream's mark, to be computed again: the rows of its former mark."""
    return f"{reopened_parts(stream)}{part:06d}.parquet"


def taken_parts(stream: str) -> str:
    """What the keys of `taken` begin with."""
    return f"{TAKEN}{stream}-"


def taken(stream: str, part: int) -> str:
    """The features of `reopened` rows where another root has given some: a part's own key only ever holds all of it."""
    return f"{taken_parts(stream)}{part:06d}.parquet"


def part_of_mark(stream: str, key: str) -> int | None:
    """The part that a key under STATUS commits for a stream, or None for a key of another kind."""
    return _number(marks(stream), key)


def part_of_reopened(stream: str, key: str) -> int | None:
    """The part that a key under REOPENED is of, or None for a key of another stream."""
    return _number(reopened_parts(stream), key)


def part_of_taken(stream: str, key: str) -> int | None:
    """The part that a key under TAKEN is of, or None for a key of another stream."""
    return _number(taken_parts(stream), key)


def part_of_feature(stream: str, key: str) -> int | None:
    """The part that a key of a stream's features holds, or None for a key of another kind."""
    return _number(f"{features(stream)}part-", key)


def generation(key: str) -> int | None:
    """The generation of a key under PLANS, or None for a key of another kind."""
    return _number(PLANS, key)


def holdout(label: str) -> str:
    """The folder of what is learnt without a class, whose name may be anything."""
    return f"{HOLDOUT}{hashlib.sha256(label.encode()).hexdigest()[:16]}"


def root_of(path: str) -> tuple[str, str]:
    """A local folder as the root that it belongs to and the rest of its path: "", or a folder that `holdout` spells.

    What is learnt without a class is opened as a store of its own; its folder's name must be no way out of the root.
    """
    found = re.fullmatch(f"(.+)/({HOLDOUT}[0-9a-f]{{16}})", path, re.DOTALL)
    return (found[1], found[2]) if found else (path, "")


def may_be_linked(key: str) -> bool:
    """Whether the file may be a link to one outside of the root. Large weights may: their bytes are held to a hash."""
    return re.fullmatch(WEIGHTS + r"[^/]+\.safetensors", key) is not None


def _number(prefix: str, key: str) -> int | None:
    found = re.fullmatch(re.escape(prefix) + r"([0-9]{6,9})\.parquet", key)
    return int(found[1]) if found else None
