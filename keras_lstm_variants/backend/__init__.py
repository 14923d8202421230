"""What else must know TensorFlow: graphs, devices, data sets, timing."""
