"""The pages: HTML for people, made from the answers of the JSON API."""
