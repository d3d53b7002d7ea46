"""Policy objectives, one file each; chosen by `rl.objective.kind`."""
