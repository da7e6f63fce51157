"""The page to annotate images on: a server for one person's machine, and plain JavaScript in `page/`.

    guided_jax annotate photos/

Needs the extra `annotate` (starlette, uvicorn). `docs/annotate.md` says what the page does.
"""
