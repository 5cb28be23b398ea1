"""What is asked before the work begins: what a run would take, and what this machine can do."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actionrec import config
from actionrec.errors import InputError
from actionrec.show import console
from actionrec.show.words import counted

if TYPE_CHECKING:
    from actionrec.storage.root import Root

SECONDS = 10.0  # of the mean video, where nothing tells


def plan(
    videos: int | None,
    seconds: float | None,
    nodes: Sequence[str],
    prices: Sequence[str],
    root: "Root | None",
    settings: config.Config,
) -> None:
    """Show what `run` would take on these nodes. InputError: nodes, prices or a root that nothing can be told of."""
    from actionrec.cluster.cores import here
    from actionrec.planning.forecast import NODES, Node, cluster_of, forecast
    from actionrec.planning.prices import per_hour
    from actionrec.planning.rates import assumed, measured

    if videos is None and root is None:
        raise InputError("how many videos? give --videos N, or --root with a catalog")
    if seconds is not None and not math.isfinite(seconds):
        raise InputError(f"--seconds {seconds}: give the length of the mean video, such as 10")
    cluster = cluster_of(nodes, NODES | {"local": Node(here().usable)})
    price = per_hour(nodes, prices)
    rates = assumed(settings, cluster.tflops / cluster.gpus if cluster.gpus else 0.0)
    if root is not None:
        rates = measured(root, rates)
    count = videos or root.catalog().num_rows  # type: ignore[union-attr]  # one of the two is there
    found = forecast(count, seconds or rates.video_s or SECONDS, cluster, settings, rates)
    machines = f"{', '.join(nodes)}: {cluster.cores} cores, {cluster.gpus} GPUs"
    console.out.print(f"[bold]{counted(count, 'video')} of {found.seconds:.3g} s[/bold] on {machines}")
    console.grid(found.times(price))
    console.grid(found.sizes())
    console.out.print("Assumed:")
    for sentence in found.assumptions:
        console.out.print(f"  - {sentence}", markup=False)


def doctor(layers: Sequence[Mapping[str, Any]], named: Mapping[str, Any], root: str | None, verbose: bool) -> bool:
    """Show every finding as it comes; whether a job would work here. As doctor.examine."""
    from actionrec.doctor import examine

    failing = []
    with console.err.status("looking around") as status:
        for finding in examine(layers, named, root, verbose):
            status.stop()  # or the line would be written through the spinner
            mark = "[green]ok  [/green]" if finding.ok else "[red]FAIL[/red]"
            console.out.print(f"{mark} {finding.what:<11}", end=" ")
            spared = "" if finding.ok or finding.demo else " (the demo does not need it)"
            console.out.print(finding.detail + spared, markup=False)
            failing += [] if finding.ok else [finding]
            status.start()
    if failing and not any(finding.demo for finding in failing):
        console.out.print("\nA job with these settings would fail here; `actionrec demo` would not.")
    return not failing
