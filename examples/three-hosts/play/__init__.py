"""The program of `make hosts`: three machines of namespaces, and a pipeline that deploys to them."""
