"""Predictions as a person reads them, and as rows of a CSV; `said` is Prediction.to_json throughout."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from actionrec.show.console import out

TOP = 5
SHOWN_MOMENTS = 12
MARGIN = (
    "the decision value w x + b of the SVM that tells a class from all the others: above 0 it says yes, below 0 no, "
    "and the class with the highest is the prediction; it is no probability"
)
RANKED = tuple(
    f"{name}{rank}"
    for rank in ("", *(f"_{n}" for n in range(2, TOP + 1)))
    for name in ("class", "margin", "probability")
)
COLUMNS = (
    *("video", "ok", "reason", "detail"),
    *RANKED,
    *("calibrated_on", "anomaly_score", "anomaly_threshold", "anomalous", "streams", "seconds"),
)


def cells(said: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The row of a CSV: a cell for each of COLUMNS, None where there is nothing to say."""
    error, anomaly = said["error"] or {}, said["anomaly"] or {}
    ranked = [value for each in said["top"] for value in (each["class"], each["margin"], each["probability"])]
    ranked += [None] * (len(RANKED) - len(ranked))
    ends = (said["calibrated_on"], anomaly.get("score"), anomaly.get("threshold"), anomaly.get("anomalous"))
    values = (said["video"], said["ok"], error.get("reason"), error.get("detail"), *ranked, *ends)
    return dict(zip(COLUMNS, (*values, " ".join(said["streams"]), round(seconds, 3)), strict=True))


def show(said: Mapping[str, Any], seconds: float) -> None:
    """One video's most likely classes, or why there are none."""
    out.print(f"\n[bold]{escape(said['video'])}[/bold]")
    if said["error"]:
        out.print(f"  [red]{said['error']['reason']}: {escape(said['error']['detail'])}[/red]")
        return
    width = max(len("class"), *(len(each["class"]) for each in said["top"]))
    has_chance = said["top"][0]["probability"] is not None
    out.print(f"  {'class':<{width}}  margin{'  probability' if has_chance else ''}", style="dim")
    for each in said["top"]:
        chance = f"  {each['probability']:>11.1%}" if has_chance else ""
        out.print(f"  {each['class']:<{width}}  {each['margin']:+.3f}{chance}", markup=False)
    if anomaly := said["anomaly"]:
        verdict = "unusual" if anomaly["anomalous"] else "not unusual"
        out.print(f"  {verdict}: anomaly score {anomaly['score']:.3f}, threshold {anomaly['threshold']:.3f}")
    moments = ", ".join(f"{moment:.2f}" for moment in said["times_s"][:SHOWN_MOMENTS])
    more = f" and {len(said['times_s']) - SHOWN_MOMENTS} more" if len(said["times_s"]) > SHOWN_MOMENTS else ""
    at = f", at {moments}{more} s of the clip" if moments else ""
    out.print(f"  from {', '.join(said['streams'])}{at}; took {seconds:.1f} s", markup=False)


def explain(about_probabilities: str) -> None:
    """What the numbers mean, once, under the last of them."""
    out.print(f"\nmargin: {MARGIN}.\nprobability: {about_probabilities}.", markup=False)
