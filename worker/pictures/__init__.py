"""A process that makes small JPEGs of image files that are not trusted. It runs in a cage."""
