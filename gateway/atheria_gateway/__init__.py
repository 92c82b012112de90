"""The gateway beside Envoy: routes calls to models, holds them at zero, wakes models and reports demand."""
