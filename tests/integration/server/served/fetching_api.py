"""A LitAPI that fetches its own weights when it is set up, as `docs/optimization/sources.md` shows."""

from pathlib import Path

import litserve as ls

from atheria_server.sources.resolve import resolve


class FetchingApi(ls.LitAPI):
    def __init__(self, url, cache):
        super().__init__()
        self.url, self.cache = url, cache

    def setup(self, device):
        self.size = resolve(self.url, cache_directory=Path(self.cache)).path.stat().st_size

    def decode_request(self, request):
        return request

    def predict(self, tensors):
        return {"size": self.size}

    def encode_response(self, answer):
        return answer
