"""What the documentation is made and checked with: `make results`, `make docs`, and the tests."""
