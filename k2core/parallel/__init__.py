"""How a model lies over devices, as arithmetic: layouts, memory, traffic, time. No engine."""
