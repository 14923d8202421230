"""Several devices that train one model together."""

import tensorflow as tf


def mirrored(count: int) -> tf.distribute.MirroredStrategy:
    """A strategy over the first `count` GPUs; without a GPU over as many parts of the CPU.

    Parts of a CPU train no faster; they show that a search runs on several devices. Only
    one strategy can be made in a process, before the first computation where there is no GPU.

    Raises:
        ValueError: there are not so many GPUs, or TensorFlow has computed already.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if count > len(gpus):
            raise ValueError(f"this machine has {len(gpus)} GPU(s), fewer than {count}")
        return tf.distribute.MirroredStrategy([f"GPU:{k}" for k in range(count)])
    (cpu,) = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        raise ValueError(f"the CPU cannot be divided any more: {error}") from None
    return tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(count)])


def share_gpus() -> int:
    """Take memory of the GPUs only as it is needed, beside other processes; how many there are."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return len(gpus)
