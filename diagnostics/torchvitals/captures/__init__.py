"""What a capture holds, on disk and in memory: one step of a training, safe to open and enough to re-run it."""
