"""The probe of a meta-training run: spectra along a trajectory, and the verdict on them."""
