"""Small architectures of many kinds, with seeded weights: what every format is tried on."""
