"""The provider adapters, over the providers' own SDKs; imported off the event loop when a provider is first used."""
