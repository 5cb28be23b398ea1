"""Whether the test videos are enough for figures to say anything: one rule for catalog, tables and page."""

import pyarrow as pa

CLASS_VIDEOS = 10  # test videos a class, on average
GROUPS = 20  # of test videos; below, even corrected intervals are too short (benchmarks/intervals.py)


def caution(table: pa.Table) -> str:
    """The sentence about a test split that is too small to read anything into its figures; empty where it is not.

    ``table`` has the columns label, group and split of schema.CATALOG. Without labelled test videos there are no
    figures, and nothing to say here.
    """
    frame = table.select(["label", "group", "split"]).to_pandas().dropna(subset=["label"])
    test = frame[frame["split"] == "test"]
    if test.empty:
        return ""
    classes, groups = frame["label"].nunique(), test["group"].nunique()
    if len(test) >= CLASS_VIDEOS * classes and groups >= GROUPS:
        return ""
    return (
        f"Nothing can be read into the test figures: there are {len(test):,} test videos of {classes:,} classes in "
        f"{groups:,} {'group' if groups == 1 else 'groups'}, and it takes {CLASS_VIDEOS} a class and {GROUPS} groups."
    )
