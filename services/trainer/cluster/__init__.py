"""A job's task on a Ray cluster: what BOARDLOOP_RAY_ADDRESS turns on.

    trainer ──child──► __main__: driver ══Ray══► node.Worker, an actor ──child──► python -m module FOLDER …
                            │  job folder and code, in blocks ►
                            ◄  events, files that changed │

The trainer never speaks Ray itself: Ray ends a process that has lost its cluster, and only the driver dies of it. No
file system is shared and nothing of Boardloop's has to be configured on the nodes: pictures, weights and code travel
through Ray's object store, which every cluster has, unlike an S3 that trainer and nodes both reach.
"""
