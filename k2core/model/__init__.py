"""The shape of the model as arithmetic: counts, names, files. Plain torch, no engine."""
