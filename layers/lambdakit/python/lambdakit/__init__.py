"""What both packages stand on: DynamoDB calls, readers of settings and limits, CORS, an issuer's signing keys.

A leaf: it imports neither package and knows nothing of their rows, wire or errors. Built into the layer of each.
"""
