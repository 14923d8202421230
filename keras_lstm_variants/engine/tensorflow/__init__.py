"""The time loop on TensorFlow."""
