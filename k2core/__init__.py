"""The work: one folder a stage and what stages share; knows no orchestrator and no tracker."""
