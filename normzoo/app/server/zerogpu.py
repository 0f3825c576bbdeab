"""What Hugging Face asks of a Space on ZeroGPU, and nobody elsewhere: one function that may be given a GPU."""


def register_for_zerogpu() -> None:
    """Declare that function where Hugging Face's package is there, which only it brings; elsewhere do nothing.

    A ZeroGPU Space that declares none is stopped. The page never calls it: the networks answer in milliseconds on the
    processor, while a GPU would have to be waited for, and counts against what a visitor may use in a day.
    """
    try:
        import spaces
    except ImportError:
        return
    spaces.GPU(gpu_name, duration=1)


def gpu_name() -> str:
    """The GPU that this process was given."""
    import torch

    return torch.cuda.get_device_name()
