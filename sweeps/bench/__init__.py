"""What watching costs: time, memory, bytes, and how both grow; ours and that of other tools."""
