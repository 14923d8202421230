import sys

from keras_lstm_variants.cli import main

if __name__ == "__main__":
    sys.exit(main())
