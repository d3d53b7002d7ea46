"""One thin Flyte adapter a stage; the work is in `k2core`."""
