"""`klv compare`: variants side by side under equal conditions."""
