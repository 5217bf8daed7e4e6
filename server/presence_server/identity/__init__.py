"""Who is at the other end: the ways in which credentials become a principal.

networks        whose address is trusted, and whose word about addresses
service_keys    keys of back ends, kept as digests in a file
jwt_keys        keys that tokens are verified with, and the algorithms that each allows
jwks            keys that are fetched from the issuer, and kept when it is down
claims          what a verified token says -> a principal
tokens          a signed token -> a principal
webhook         the application is asked
tickets         one-time credentials that may stand in a URL
authentication  all of them together
revocations     tokens that are no longer good, although they have not expired
"""
