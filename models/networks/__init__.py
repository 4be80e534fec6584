"""The networks, plain modules without any training code; one file each."""
