"""Vectors of texts, by a provider's API, by a model in a folder of the operator's, or by hashed words."""
