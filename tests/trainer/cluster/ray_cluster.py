"""A Ray cluster on this machine, in a process of its own: a head without CPUs and two nodes of one CPU each.

It prints its address; then each line of stdin is a command that it answers with one line:
    kill   the node that has a worker dies, as if its plug were pulled; a fresh node takes its place · busy   how many
    nodes have a worker · end   the whole cluster dies at once
"""

from __future__ import annotations

import os
import sys

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

import ray
from ray._private.state import actors
from ray.cluster_utils import Cluster

MEMORY = {"object_store_memory": 100 * 2**20, "include_dashboard": False}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray's processes print too
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **MEMORY})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **MEMORY)
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")

    def busy() -> set[str]:
        return {actor["Address"]["NodeID"] for actor in actors().values() if actor["State"] == "ALIVE"}

    print(cluster.address, file=answers, flush=True)
    for command in sys.stdin:
        answer = "done"
        if command == "kill\n":
            (node,) = [node for node in cluster.worker_nodes if node.node_id in busy()]
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1, **MEMORY)
        elif command == "busy\n":
            answer = str(len(busy()))
        elif command == "end\n":
            for node in cluster.list_all_nodes():
                node.kill_all_processes(check_alive=False, allow_graceful=False)
        print(answer, file=answers, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
