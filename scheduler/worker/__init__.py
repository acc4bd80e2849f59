"""Executing Runs: the worker, its slots, the supervisor of its processes, and the rescue of what a dead worker held."""
