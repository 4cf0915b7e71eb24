"""Parts for sp_search: each is one pydantic class, its fields are its YAML."""
