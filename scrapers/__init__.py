"""scrape: gesund.bund.de's explanations of ICD-10-GM codes → OUT/descriptions.parquet."""
