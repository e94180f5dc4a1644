"""Folders in object storage: s3://, gs:// and whatever else fsspec knows, for the stages that read and write data."""
