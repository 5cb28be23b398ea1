"""What an earlier release recorded of its stages, in today's words: other stages and inputs, and the same fingerprints.

A fingerprint is the name by which a stage's files go, so nothing that was made has to be written again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from actionrec import config as configuration
from actionrec.config import Config
from actionrec.storage import earlier, layout, reopening
from actionrec.storage.earlier import EXTRACT, FINETUNE
from actionrec.storage.records import FORMAT, Record
from actionrec.storage.root import Root, record
from actionrec.storage.samples import made_with, sampled, with_stream
from actionrec.storage.stages import settings
from actionrec.storage.streams import FUSED, STREAMS, imported

MOTION, RNN = "motion", "rnn"  # made the motion CNN and its stream; all recurrent networks and the video embeddings
UNCHANGED = ("svm", "fusion", "evaluate", "anomaly")  # stages of today's, but for the name of an input
Records = dict[str, Record]  # by stage


def finetuning(root: Root) -> Records:
    before = earlier.record(root.store, layout.stage(FINETUNE))
    if before is None:
        return {}
    inputs = {"frame weights": before["inputs"]["frame"], "videos": before["inputs"]["videos"]}
    return {"finetune": _record(root, "finetune", before, inputs)}


def streams(root: Root, extract: Record) -> Records:
    """The streams that extract made: but one where features were imported. A fine-tuning has been renamed before."""
    if imported(root.config):
        return {FINETUNE: _record(root, FINETUNE, extract, extract["inputs"])}
    config, weights = _as_recorded(root.config, extract), extract["inputs"]
    tuned = earlier.read(root.store, layout.stage("finetune"))
    names = {"flow": extract["fingerprint"]} | ({"finetune": tuned["fingerprint"]} if tuned else {})
    found = {}
    for name, row in STREAMS.items():
        if row.decoded:
            own = {f"{row.section} weights": weights[row.section]} if row.section in weights else {}
            needs = {need: names[need] for need in row.needs(config) if need in names}
            found[name] = _record(root, name, extract, own | needs)
    return found


@dataclass(frozen=True)
class Learnt:
    """What was learnt under a root, or in a folder of it without a class: `root` is the one or the other.

    The records of the root's streams have been renamed before, and their marks are there.
    """

    root: Root
    prefix: str  # of the folder's keys; empty for the root itself

    def motion_cnn(self) -> Records:
        before = self._before(MOTION)
        if before is None:
            return {}
        inputs = {"flow": before["inputs"][EXTRACT], "videos": before["inputs"]["videos"]}
        return {"motion_cnn": _record(self.root, "motion_cnn", before, inputs)}

    def networks(self) -> Records:
        """The recurrent networks that are there, trained or not to the end, and the embeddings if there are any."""
        before = self._before(RNN)
        if before is None:
            return {}
        found = {}
        learnt = [
            stream for stream in FUSED if f"videos with {stream}" in before["inputs"] or stream in before["inputs"]
        ]
        for stream in learnt:
            network = layout.rnn(stream)
            if self._holds(layout.model(network)):
                found[network] = _record(self.root, network, before, self._learnt_inputs(stream, before))
        if self._holds(layout.EMBEDDINGS):
            asked = list(self.root.config.streams)
            fused = {"streams": asked if set(asked) == set(learnt) else learnt}
            inputs = {layout.rnn(stream): before["fingerprint"] for stream in fused["streams"]}
            found["embeddings"] = _record(self.root, "embeddings", {**before, "settings": fused}, inputs)
        return found

    def kept_keys(self) -> Records:
        """Records that lie where they lay, after what else was made of them has been written."""
        found = {}
        if (before := self._before(MOTION)) is not None:
            made = before["inputs"][EXTRACT]
            inputs = {"motion_cnn": before["fingerprint"], "flow": made, "spatial": made}
            found[MOTION] = _record(self.root, MOTION, before, inputs)
        if (before := self._before("tune")) is not None:
            inputs = self._learnt_inputs(before["settings"]["tune.stream"], before)
            tested = {"test videos": before["inputs"]["test videos"]}
            found["tune"] = _record(self.root, "tune", before, inputs | tested)
        for stage in UNCHANGED:
            if (before := self._before(stage)) is not None:
                inputs = {"embeddings" if name == RNN else name: value for name, value in before["inputs"].items()}
                found[stage] = _record(self.root, stage, before, inputs)
        return found

    def _before(self, stage: str) -> dict[str, Any] | None:
        return earlier.record(self.root.store, f"{self.prefix}{layout.stage(stage)}")

    def _holds(self, folder: str) -> bool:
        return bool(self.root.store.sizes(f"{self.prefix}{folder}"))

    def _learnt_inputs(self, stream: str, before: Record) -> dict[str, str]:
        if stream == MOTION:
            return {MOTION: before["inputs"][MOTION], "videos": self._motion_videos()}
        return {stream: before["inputs"][EXTRACT], "videos": before["inputs"][f"videos with {stream}"]}

    def _motion_videos(self) -> str:
        """The digest of the videos with motion, which was not recorded: that of now, if the motion CNN would be trained
        on what it was trained on; else one that no set of videos has, so that the network is known to be out of date.
        So it is where the record of the motion CNN has been given up.

        Of parts that were reopened, what is still good counts: it has lost its marks and will have them again.
        """
        if not self.root.begun("motion_cnn"):
            return "of before, with a motion CNN that is not known any more"
        catalog, trained = self.root.catalog(), record(self.root, "motion_cnn")["inputs"]["videos"]
        flow, spatial = (_reopened(self.root, stream, made_with(self.root, "flow")) for stream in ("flow", "spatial"))
        with_flow = _united(with_stream(self.root, "flow"), flow)
        if sampled("flow", catalog, with_flow).digest() != trained:
            return f"of before, with flow {trained}"
        both = {part: [i for i in ids if i in spatial.get(part, ())] for part, ids in flow.items()}
        return sampled(MOTION, catalog, _united(with_stream(self.root, MOTION), both)).digest()


def _reopened(root: Root, stream: str, fingerprint: str) -> dict[int, list[str]]:
    """Part -> its videos of which the stream is still good, of parts that are to be computed again."""
    found = reopening.reopened(root.store, stream, fingerprint)
    return {
        part: table.filter(pc.equal(table["status"], "ok"))["video_id"].to_pylist() for part, table in found.items()
    }


def _united(one: Mapping[int, list[str]], other: Mapping[int, list[str]]) -> dict[int, list[str]]:
    return {part: sorted({*one.get(part, ()), *other.get(part, ())}) for part in one.keys() | other.keys()}


def _record(root: Root, stage: str, before: Record, inputs: Mapping[str, str]) -> Record:
    """Today's record of what was recorded as `before`, under the same name, with the settings that change `stage`."""
    made_by = settings(stage, _as_recorded(root.config, before))
    return {"format": FORMAT, "fingerprint": before["fingerprint"], "inputs": dict(inputs), "settings": made_by}


def _as_recorded(config: Config, before: Record) -> Config:
    """The configuration with the settings of a record."""
    recorded = before["settings"].items()
    layer = configuration.nested(
        {"seeds" if key == "seeds[0]" else key: [value] if key == "seeds[0]" else value for key, value in recorded}
    )
    return configuration.load([configuration.parse_layer(configuration.dump(config), layout.CONFIG), layer])
