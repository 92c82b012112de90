"""A LitAPI that gives every tensor back under its own name, whatever its datatype, for the tests of client libraries."""

import litserve as ls


class MirrorLitAPI(ls.LitAPI):
    def decode_request(self, request):
        return request

    def predict(self, tensors):
        return tensors

    def encode_response(self, tensors):
        return tensors


class TorchMirrorLitAPI(MirrorLitAPI):
    """With torch's tensors, which keep bfloat16."""

    oip_tensors = "torch"
