"""The stages, a row each: what a stage is made from, what of the configuration changes it, and what it owns."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actionrec import config as configuration
from actionrec.config import Config
from actionrec.storage import layout
from actionrec.storage.streams import FUSED, STREAMS, Stream, wanted

# They only decide which videos fail, or how much goes through a network at once.
CHANGES_NOTHING = ("clip.allow_partial", "motion.embed_batch")


@dataclass(frozen=True)
class Stage:
    """One step whose result lies under a root, and is made from the results of others."""

    name: str
    verb: str  # what makes it; --replace takes either name, and by the verb's means all that the verb makes
    needs: Callable[[Config], Sequence[str]]  # the stages that it is made from: who deletes one of them deletes it too
    keys: tuple[str, ...]  # sections ("rnn.") and keys of the configuration that change what it makes
    owns: tuple[str, ...]  # what deleting it deletes, commit marks first; "x-" and "x." stand for all keys beginning so
    wanting: str  # what to say where it is not there
    ignores: Callable[[Config], Sequence[str]] = lambda config: ()  # those of `keys` that this configuration leaves out
    made: Callable[[Config], bool] = lambda config: True  # whether this configuration makes it; else it lies unused
    seeded: bool = False  # whether the first of `seeds` changes it; further ones are models of their own
    shared: bool = False  # whether it lies in the root itself, also where a class is held out of what is learnt
    recorded: bool = True  # whether it has a record of what it was begun with; else the root's configuration says it

    @property
    def begun(self) -> str:
        """The key whose file says that the stage has begun."""
        return layout.stage(self.name) if self.recorded else self.owns[-1]


def _of_stream(stream: Stream) -> Stage:
    name = stream.name
    owns = (layout.marks(name), layout.reopened_parts(name), layout.taken_parts(name), layout.features(name))
    return Stage(
        name,
        stream.verb,
        lambda config: ("catalog", *stream.needs(config)),
        stream.keys,
        owns,
        f"there are no {stream.name} features here; run `actionrec {_typed(stream.verb)}`",
        stream.ignores,
        lambda config: stream.name in wanted(config),
        shared=stream.decoded,
    )


def _recurrent(stream: str) -> Stage:
    return Stage(
        layout.rnn(stream),
        "rnn",
        lambda config: (stream,),
        ("rnn.",),
        (layout.model(layout.rnn(stream)),),
        f"there is no recurrent network of the stream {stream} here; run `actionrec train rnn`",
        lambda config: () if config.rnn.attention else ("rnn.heads",),
        lambda config: stream in config.streams,
        seeded=True,
    )


def _baseline(name: str, needs: Callable[[Config], Sequence[str]]) -> Stage:
    """A system of Table II."""
    return Stage(
        name,
        "baseline",
        needs,
        (f"baselines.{name}.",),
        (layout.baseline(name),),
        f"the baseline {name} has not been trained here; run `actionrec baseline {name}`",
        seeded=True,
    )


def _typed(verb: str) -> str:
    return verb if verb == "extract" else f"train {verb}"


def _catalog_ignores(config: Config) -> Sequence[str]:
    return () if config.data.dataset in configuration.WITH_SPLITS else ("data.split",)


_SVM = ("tune.l2", "fusion.l2", "fusion.normalization", "fusion.max_iterations")
_CELLS = tuple(f"rnn.{name}" for name in ("cell", "units", "layers", "bidirectional", "attention", "heads"))
_TABLES = tuple(layout.tables(name) for name in ("predictions", "ablation", "confusion", "classes"))

BASELINES = ("two_stream", "multi_stream", "video2vec")  # of the systems of Table II those that can be run

# In the order of work.
STAGES: dict[str, Stage] = {
    row.name: row
    for row in (
        Stage(
            "catalog",
            "catalog",
            lambda config: (),
            ("data.", "seed"),
            (layout.PLANS, layout.CATALOG),
            "there is no catalog here; run `actionrec catalog SRC`",
            _catalog_ignores,
            shared=True,
            recorded=False,
        ),
        Stage(
            "finetune",
            "finetune",
            lambda config: ("catalog",),
            ("finetune.", "frame.", "clip."),
            (layout.model(layout.FRAME_CNN),),
            "there is no fine-tuned frame CNN here; run `actionrec train spatial`",
            made=lambda config: config.finetune.blocks > 0,
            seeded=True,
            shared=True,
        ),
        *(_of_stream(stream) for stream in STREAMS.values() if stream.decoded),
        Stage(
            "motion_cnn",
            "motion",
            lambda config: ("flow",),
            ("motion.",),
            (layout.model(layout.MOTION_CNN),),
            "there is no motion CNN here; run `actionrec train motion`",
            made=lambda config: "motion" in wanted(config),
            seeded=True,
        ),
        *(_of_stream(stream) for stream in STREAMS.values() if not stream.decoded),
        Stage(
            "tune",
            "tune",
            lambda config: (config.tune.stream,),
            ("rnn.", "tune.stream", *_SVM),
            (layout.tables("table1"), layout.TUNE_RNN),
            "there is no sweep here; run `actionrec tune rnn`",
            lambda config: _CELLS,
            lambda config: config.tune.in_run,
        ),
        *(_recurrent(stream) for stream in FUSED),
        Stage(
            "embeddings",
            "rnn",
            lambda config: tuple(map(layout.rnn, config.streams)),
            ("streams",),
            (layout.EMBEDDINGS,),
            "there are no video embeddings here; run `actionrec train rnn`",
        ),
        _baseline("two_stream", lambda config: ("spatial", "motion_cnn", "motion")),
        _baseline("multi_stream", lambda config: [name for name in FUSED if name in config.streams]),
        _baseline("video2vec", lambda config: ("spatial", "motion")),
        Stage(
            "svm",
            "svm",
            lambda config: ("embeddings",),
            (*_SVM, "fusion.missing", "streams"),
            (layout.tables("svm"), layout.TUNE_SVM),
            "there is no search over the SVM here; run `actionrec tune svm`",
        ),
        Stage(
            "fusion",
            "fusion",
            lambda config: ("embeddings", "svm"),
            ("fusion.", "streams"),
            (layout.model(layout.FUSION),),
            "there is no fused model here; run `actionrec train svm`",
            lambda config: ("fusion.bootstrap",),
        ),
        Stage(
            "evaluate",
            "evaluate",
            lambda config: ("fusion",),
            ("fusion.bootstrap",),
            _TABLES,
            "nothing has been judged here; run `actionrec evaluate`",
        ),
        Stage(
            "table2",
            "evaluate",
            lambda config: ("evaluate", *BASELINES),
            (),
            (layout.table("table2", "md"), layout.table("table2")),
            "there is no Table II here; run `actionrec evaluate`",
            recorded=False,
        ),
        Stage(
            "anomaly",
            "anomaly",
            lambda config: ("embeddings",),
            ("anomaly.", "streams"),
            (
                layout.tables("anomaly"),
                layout.tables("anomaly_holdout"),
                layout.model(layout.AUTOENCODER),
                layout.HOLDOUT,
            ),
            "there is no autoencoder here; run `actionrec anomaly`",
            seeded=True,
        ),
    )
}


def named(name: str) -> tuple[str, ...]:
    """The stages that --replace NAME names: all that the verb of that name makes, else the one stage; none: unknown."""
    of_verb = tuple(row.name for row in STAGES.values() if row.verb == name)
    return of_verb or ((name,) if name in STAGES else ())


def following(names: Collection[str], configs: Iterable[Config]) -> list[str]:
    """`names` and all that is made from them under any of the configurations, in the order of work."""
    found = set(names)
    configs = list(configs)
    for row in STAGES.values():
        if any(not found.isdisjoint(row.needs(config)) for config in configs):
            found.add(row.name)
    return [name for name in STAGES if name in found]


def settings(stage: str, config: Config) -> dict[str, Any]:
    """Dotted key -> value of exactly the knobs that can change what `stage` makes of a video that does not fail."""
    row = STAGES[stage]
    ignored = (*CHANGES_NOTHING, *row.ignores(config))
    chosen = {
        key: value for key, value in flat(config).items() if is_among(key, row.keys) and not is_among(key, ignored)
    }
    return chosen | ({"seeds[0]": config.seeds[0]} if row.seeded else {})


def in_use(stages: Collection[str], config: Config) -> list[str]:
    """The dotted keys of the knobs that one of `stages` goes by, and of those that are no stage's."""

    def goes_by(row: Stage, key: str) -> bool:
        return row.name in stages and is_among(key, row.keys) and not is_among(key, row.ignores(config))

    rows = list(STAGES.values())
    return [
        key
        for key in DEFAULTS
        if any(goes_by(row, key) for row in rows) or not any(is_among(key, row.keys) for row in rows)
    ]


def having_say(stage: str, config: Config, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Of the settings that a stage was made with those that change it. An earlier release may have recorded others."""
    mine = settings(stage, config)
    return {key: value for key, value in recorded.items() if _has_say(key, mine)}


def differing(made: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    """The keys in which the settings that something was made with differ from `mine`, with which it would be made now.

    A knob that is younger than a root counts with its default there. One that `mine` does not have has no say: either
    it never had, or another one decides that, which is among them and compared.
    """
    keys = {key for key in made if _has_say(key, mine)} | mine.keys()
    return sorted(key for key in keys if made.get(key, DEFAULTS.get(key)) != mine.get(key, DEFAULTS.get(key)))


def _has_say(key: str, mine: Mapping[str, Any]) -> bool:
    return key in mine or key not in DEFAULTS  # what a knob meant that is no more is not known


def flat(config: Config) -> dict[str, Any]:
    """Dotted key -> value of every knob, as JSON gives it back."""
    knobs = configuration.flatten(config)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in knobs.items()}


DEFAULTS = flat(Config())


def is_among(key: str, names: Sequence[str]) -> bool:
    """Whether a dotted key is one of `names`, or in one of the sections ("rnn.") among them; "" is all of them."""
    return any(key == name or ((name.endswith(".") or not name) and key.startswith(name)) for name in names)
