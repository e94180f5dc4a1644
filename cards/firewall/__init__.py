"""The disclosure firewall: nothing that descends from credentialed records leaves but aggregates."""
