"""A cluster of one machine, told on stdin what to do: a head that does no work and nodes of one logical CPU each.

A process of its own, because Ray reads its token and its timeouts once a process. Prints the address, then "done" for
each "add", and for each "lose", which takes the oldest node away as when its machine vanishes.
"""

import sys

from ray.cluster_utils import Cluster

from actionrec.cluster.start import turn

STORE_BYTES = 80 * 2**20  # Ray's least


def main() -> None:
    with turn():
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    print(cluster.address, flush=True)
    nodes = []
    try:
        for line in sys.stdin:
            if line.strip() == "add":
                with turn():
                    nodes.append(cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))
                cluster.wait_for_nodes()
            else:
                cluster.remove_node(nodes.pop(0), allow_graceful=False)
            print("done", flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
