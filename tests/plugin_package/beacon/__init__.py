"""A plugin for torchvitals: one diagnostic and one reporter."""
