"""What a capture holds, one step of a training, safe to open and enough to run it again."""
