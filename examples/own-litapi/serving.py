"""A model of your own: any LitServe LitAPI, served unmodified. Copy this folder, and put your model into `setup` and `predict`."""

import litserve
import torch


class SmoothLitAPI(litserve.LitAPI):
    """Pictures in, smoothed pictures out: a Gaussian blur, where your network would be."""

    def __init__(self, max_batch_size: int = 8) -> None:
        """Calls that are computed together at most; spec.batching.maxBatchSize may lower it."""
        super().__init__(max_batch_size=max_batch_size)

    def setup(self, device: str) -> None:
        """Once in each pod, before it takes calls: load weights here."""
        line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=device) / 16
        self.kernel = torch.outer(line, line)[None, None]

    def decode_request(self, request: dict) -> torch.Tensor:
        """`request` has the call's tensors by name; input `image` is FP32 [height, width]."""
        return torch.as_tensor(request["image"], dtype=torch.float32)

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Calls of the same shape, computed together."""
        return torch.stack(inputs)[:, None]

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """[batch, 1, height, width] to the same."""
        padded = torch.nn.functional.pad(images.to(self.kernel.device), (2, 2, 2, 2), mode="reflect")
        return torch.nn.functional.conv2d(padded, self.kernel)

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        """One for each call."""
        return list(output[:, 0])

    def encode_response(self, output: torch.Tensor) -> dict:
        """The answer's tensors by name."""
        return {"smooth": output.cpu()}
