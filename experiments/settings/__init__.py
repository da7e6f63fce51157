"""What a user sets: the configuration, its checks, and the way there from the command line."""
