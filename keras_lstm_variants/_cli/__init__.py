"""What the commands of `klv` share; nothing here imports TensorFlow or Keras."""
