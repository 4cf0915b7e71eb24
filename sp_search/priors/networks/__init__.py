"""The priors' own networks. They import torch alone: an exported program carries their file."""
