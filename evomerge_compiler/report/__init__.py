"""What people look at: tables, differences, family trees, the final words, one HTML file."""
