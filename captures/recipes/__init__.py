"""The recipes that record the project's captures; run them with `cargo xtask captures`."""
