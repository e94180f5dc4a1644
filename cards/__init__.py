"""Cards of datasets and models, bundles for PhysioNet, the disclosure firewall, and publishing to the Hub."""
