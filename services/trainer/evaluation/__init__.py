"""Evaluation of any registered model, float or converted, on any data set version, as a job of its own.

version ──► child: every picture answered ──► Answers ──► summary: figures, curves, thresholds, subsets
 fetched     answers.jsonl, goes on           stored      outcomes: every picture right or wrong, with its boxes
             where it was broken off          gzipped     comparison: two evaluations, picture by picture

answers, curves, matching, subsets, summary, outcomes and comparison are pure: they need numpy only.
"""
