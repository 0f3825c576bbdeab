"""What a visitor reads in place of an answer: a status and one plain sentence."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

_SENTENCES = {
    400: "This request is not one that the page sends; reload the page and try again.",
    403: "This is not open to visitors.",
    404: "There is nothing at this address.",
    405: "There is nothing at this address.",
    408: "The photo took too long to arrive; try a smaller one or a better connection.",
    413: "This photo is too large; make it smaller or save it as JPEG and try again.",
    414: "This address is too long.",
    429: "Too many requests came from your address; wait a moment and try again.",
    503: "The page is busy with other visitors; wait a moment and try again.",
    507: "There is no room for another photo here at the moment; try again in a minute.",
}
_OTHERWISE = {4: _SENTENCES[400], 5: "Something went wrong here, not with you; try again."}
_RETRY_SECONDS = {429: 5, 503: 5}


@dataclass
class Refusal(Exception):
    """A request that goes no further.

    Args:
        sentence: what to say; empty for what is usually said with this status.
        retry_seconds: when it is worth to try again.
    """

    status: int
    sentence: str = ""
    retry_seconds: float = 0

    def messages(self, as_text: bool) -> list[dict[str, Any]]:
        """The ASGI messages that say it: JSON in which Gradio's page and clients find the sentence, or plain text."""
        sentence = self.sentence or _SENTENCES.get(self.status) or _OTHERWISE.get(self.status // 100, _SENTENCES[400])
        # With 422 alone, Gradio's Python client shows more than the status, and expects what fails to be listed.
        listed = [{"__type__": "validate", "is_valid": False, "parameter_name": "inputs", "message": sentence}]
        body = (sentence if as_text else json.dumps({"detail": listed if self.status == 422 else sentence})).encode()
        kind = b"text/plain; charset=utf-8" if as_text else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        retry = self.retry_seconds or _RETRY_SECONDS.get(self.status, 0)
        if retry:
            headers.append((b"retry-after", str(max(1, round(retry))).encode()))
        return [
            {"type": "http.response.start", "status": HTTPStatus(self.status).value, "headers": headers},
            {"type": "http.response.body", "body": body},
        ]
