"""The page at `/`, built on the browser SDK: files that are served as they are, offline, without a build step.

`index.html` is the page, the other files are its assets. An installed server has the SDK's modules in `sdk/`; in the
repository they are in `client_sdk/js`.
"""
