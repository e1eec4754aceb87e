"""What tests share: projects, real toolchains, a browser, models to convert."""
