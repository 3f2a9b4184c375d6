"""The model and tool loop over recorded steps; it knows neither agents nor HTTP."""
