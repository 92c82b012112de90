"""A script as tutorials show it, without the guard around its last line."""

import litserve as ls


class Api(ls.LitAPI):
    def predict(self, x):
        return x


ls.LitServer(Api(), accelerator="cpu").run(port=8000)
