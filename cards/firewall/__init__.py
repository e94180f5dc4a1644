"""The disclosure firewall: of what descends from credentialed records only aggregates leave."""
