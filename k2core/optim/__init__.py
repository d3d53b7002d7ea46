"""Optimizers' mathematics in plain torch: Newton-Schulz, Muon, AdamW, QK-Clip, the schedule."""
