"""One TLS context for all clients of HTTP here: to make one takes longer than all else about a request."""

from __future__ import annotations

import ssl

CONTEXT = ssl.create_default_context()
