"""The commands over HTTP: paths, routing, CORS, and the OpenAPI document."""
