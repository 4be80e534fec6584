"""A training with torchvitals is bit for bit the training without it, whatever the training does."""
