"""Does an endpoint keep its word? Requests by our generators, and figures on what it answers."""

from k2core.serving.figures import Figures, summarize
from k2core.serving.requests import ServingRequest, list_requests
from k2core.serving.verify import EndpointVerification, verify_endpoint

__all__ = [
    "EndpointVerification",
    "Figures",
    "ServingRequest",
    "list_requests",
    "summarize",
    "verify_endpoint",
]
