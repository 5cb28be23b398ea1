"""The paper's claims about Table I, held against a finished sweep: paired differences of rows, seed by seed.

    python benchmarks/table1_claims.py --root ROOT

GRU at least LSTM; two layers of BiGRU best; attention hurts; an SVM in place of the softmax layer gains top-1 and loses
top-5. Rows that were not run, or with other seeds, leave a comparison out.
"""

import argparse

from verdicts import HEADER, Comparison, Outcome, table

from actionrec.storage.models import seeded
from actionrec.storage.root import Root, open_root, record
from actionrec.storage.samples import samples
from actionrec.table1.outcomes import read_outcome

BEST = "S. BiGRU 512"
CLAIMS = (  # claim, first row, second row, top-k
    *(("GRU at least LSTM", f"{kind}GRU {units}", f"{kind}LSTM {units}", 1)
      for kind, sizes in (("", (512, 1024)), ("Bi", (512, 1024)), ("S. ", (512, 1024)), ("S. Bi", (512,)))
      for units in sizes),
    *(("two layers of BiGRU are best", BEST, other, 1) for other in ("GRU 512", "BiGRU 512", "LSTM 512", "S. GRU 512")),
    ("attention hurts", BEST, f"{BEST} + attention", 1),
    ("an SVM gains top-1", f"{BEST} + SVM", BEST, 1),
    ("an SVM loses top-5", BEST, f"{BEST} + SVM", 5),
)  # fmt: skip


def outcomes(root: Root, row: str, k: int) -> list[Outcome]:
    """What a row came to with each seed; nothing where one has not finished."""
    fingerprint = record(root, "tune")["fingerprint"]
    found = [read_outcome(root.output, row, seed, seeded(fingerprint, seed)) for seed in root.config.seeds]
    ids = [video.video_id for video in samples(root, root.config.tune.stream).of("test")]
    done = [each for each in found if each is not None and each.status == "done"]
    hits = [{i: float(rank < k) for i, rank in zip(ids, each.test_rank, strict=True)} for each in done]
    return [Outcome(each, {}) for each in hits] if len(done) == len(root.config.seeds) else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    root = open_root(parser.parse_args().root)
    catalog = root.catalog()
    groups = dict(zip(catalog["video_id"].to_pylist(), catalog["group"].to_pylist(), strict=True))
    rows = []
    for claim, first, second, k in CLAIMS:
        sides = outcomes(root, first, k), outcomes(root, second, k)
        if all(sides):
            rows.append(Comparison(claim, first, second, *sides, groups).row())
    print(table(HEADER, rows))


if __name__ == "__main__":
    main()
