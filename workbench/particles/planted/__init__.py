"""A planted direction on the sphere, looked for by noisy gradients, their last iterate and their average."""
