"""Pages of keys, users, projects, the audit log and webhooks."""
