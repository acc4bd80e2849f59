"""The GPUs of this host: what they are, what they have free, and who may use them."""
