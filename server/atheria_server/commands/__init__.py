"""The commands of `atheria-server` beside `serve`: each module has `main(arguments) -> exit code`."""
