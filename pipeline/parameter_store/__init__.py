"""Parameters of SSM's parameter store, kept in the home, and SSM's API over them."""
