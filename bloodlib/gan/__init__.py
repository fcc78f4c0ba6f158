"""The painter: pix2pixHD with an instance-wise encoder, its training and its style clusters."""
