"""What diagnostics are made of: readings of a look or a window, and the rules that they share."""
