import os

# Before TensorFlow starts: its notes on the machine are no part of a test.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
